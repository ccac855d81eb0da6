"""Mutants: a file with one line changed, and the changes that no test can tell from the original."""

import ast

SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
# What no test can tell from the original, with the reason; a key is a file, the line as it stands there, and a change.
EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "ann2neo/chance/input_dispersion.py",
        "rarer = np.where((2 * many.sum(axis=1) > many.shape[1])[:, None], ~many, many)",
        "2 * many.sum(axis=1)  ->  2 // many.sum(axis=1)",
    ): "whichever of two counts is called a spike, the law is the same; the rarer one is faster",
    ("ann2neo/chance/label_rates.py", "_DRAWS = 2048", "2048  ->  2049"): "one draw more is as right",
    (
        "ann2neo/chance/sampled_cv.py",
        "active = np.flatnonzero(counts > 1)",
        "counts > 1  ->  counts >= 1",
    ): "one spike has no interval",
    (
        "ann2neo/chance/sequences.py",
        "bins = np.bincount(label[label >= 0], minlength=int(label.max()) + 1) * float(n_passes)",
        "int(label.max()) + 1  ->  int(label.max()) - 1",
    ): "counts reach to the greatest label in any case",
    (
        "ann2neo/chance/activation.py",
        "low = max(0, bins + spikes - whole, int(mean - REACH * sd - 30))",
        "30  ->  31",
    ): "a count that far from the mean has no probability that a double holds",
    (
        "ann2neo/windows.py",
        'first = np.flatnonzero(np.diff(trials["pass"].to_numpy(), prepend=-1))',
        "1  ->  2",
    ): "passes are counted from 0, so that the first differs from any negative number",
    (
        "ann2neo/chance/pairs.py",
        "@lru_cache(maxsize=1 << 17)",
        "17  ->  18",
    ): "what is computed does not depend on how many results are remembered",
}


def places(tree):
    """List what can be changed, in the order of the file."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
            found.append(("compare", node))
        elif isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in SWAPS:
            found.append(("operator", node))
        elif isinstance(node, ast.Constant) and type(node.value) is int:
            found.append(("number", node))
        elif isinstance(node, ast.If | ast.IfExp):
            found.append(("condition", node))
    return sorted(found, key=lambda each: (each[1].lineno, each[1].col_offset, each[0]))


def mutate(source, number):
    """Make one change, and say where, in which function and what."""
    tree = ast.parse(source)
    kind, node = places(tree)[number]
    line, around = node.lineno, function_at(tree, node.lineno)
    before = ast.unparse(node).splitlines()[0]
    if kind == "compare":
        node.ops[0] = SWAPS[type(node.ops[0])]()
    elif kind == "operator":
        node.op = SWAPS[type(node.op)]()
    elif kind == "number":
        node.value += 1
    else:
        node.test = ast.UnaryOp(op=ast.Not(), operand=node.test)
    after = ast.unparse(ast.fix_missing_locations(node)).splitlines()[0]
    return tree, line, around, f"{before}  ->  {after}"


def function_at(tree, line):
    """Name the innermost function that holds a line."""
    holding = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.lineno <= line <= n.end_lineno]
    return max(holding, key=lambda each: each.lineno).name if holding else ""
