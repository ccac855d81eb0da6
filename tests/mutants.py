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
    (
        "ann2neo/chance/count_laws.py",
        'return np.searchsorted(ends, rng.random((draws, n)) * ends[-1], side="right").clip(max=w.size - 1)',
        "w.size - 1  ->  w.size + 1",
    ): "a random number below 1 times the end rounds to less than the end, so that nothing is clipped",
    (
        "ann2neo/chance/count_laws.py",
        "@lru_cache(maxsize=1 << 14)",
        "1  ->  2",
    ): "what is computed does not depend on how many results are remembered",
    (
        "ann2neo/chance/count_laws.py",
        "@lru_cache(maxsize=4)",
        "4  ->  5",
    ): "what is computed does not depend on how many results are remembered",
    (
        "ann2neo/chance/isi_law.py",
        "nodes = _nodes(size if lattice else 1 << 31)",
        "31  ->  32",
    ): "up to a thousand million spikes the nodes are the same",
    (
        "ann2neo/chance/isi_law.py",
        "whole = np.abs(size - np.round(size)) < 1e-9",
        "np.abs(size - np.round(size)) < 1e-09  ->  np.abs(size - np.round(size)) <= 1e-09",
    ): "doubles of at least 2 differ from whole numbers by multiples of 2^-51, and 1e-9 is none",
    (
        "ann2neo/chance/inputs.py",
        "return ratio(between, np.where(whole > 1e-9 * np.maximum(spikes.sum(axis=1), 1e-300), whole, 0.0))",
        "whole > 1e-09 * np.maximum(spikes.sum(axis=1), 1e-300)  ->  whole >= 1e-09 * np.maximum(spikes.sum(axis=1), 1e-300)",
    ): "of a rounding error that is as large as the bound nobody knows on which side it lies; 0 lies below",
    (
        "ann2neo/chance/stationarity.py",
        "_LONGEST_LAW = 1 << 18",
        "18  ->  19",
    ): "the exact law of more cases is as right, and slower",
    (
        "ann2neo/chance/input_dispersion.py",
        "_DRAWN_NUMBERS = 1 << 25",
        "1  ->  2",
    ): "more draws are as right, and slower",
    (
        "ann2neo/chance/activation.py",
        'n_bins = check_whole(n_bins, "n_bins", such_as=1000)',
        "1000  ->  1001",
    ): "any number of bins is as good an example in a message",
    (
        "ann2neo/chance/label_rates.py",
        "equal = bool(sizes.max() - sizes.min() <= 1e-9 * sizes.max())",
        "1e-09 * sizes.max()  ->  1e-09 // sizes.max()",
    ): "durations that are equal but for rounding have the same deviation by the other way, which is slower",
    (
        "ann2neo/chance/inputs.py",
        "if own.max() - own.min() <= 1e-9 * own.max():",
        "own.max() - own.min()  ->  own.max() + own.min()",
    ): "sizes that are equal but for rounding have the same expectation, to nine digits, by the other way, which is slower",
    (
        "ann2neo/chance/distance.py",
        "cell_of, (upto, sorted_out) = np.empty(most, np.uint32), np.empty((2, most // _PER_CELL + 3), np.int32)",
        "most // _PER_CELL  ->  most * _PER_CELL",
    ): "memory that nothing is written into",
    (
        "ann2neo/chance/pairs.py",
        "last = min(bins - n + 2, 2 + int(45 * bins / max(n - 2, 1)) + 1)",
        "2  ->  3",
    ): "a sum of two intervals that far out has a chance of less than 1e-15",
    (
        "ann2neo/chance/runs.py",
        "place = np.clip(joined - start, 0, _WIDTH - 1)",
        "1  ->  2",
    ): "at the last two places, 12 standard deviations from the mean, p is the floor",
    (
        "ann2neo/store/chunked.py",
        "in_row = last - first + 1 == places.size and (places.size < 2 or bool((np.diff(places) == 1).all()))",
        "1  ->  2",
    ): "an array of consecutive indices selects what a slice selects, more slowly",
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
