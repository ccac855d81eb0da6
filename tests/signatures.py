"""Check every call of the package against its annotations, in less time than jaxtyping's own import hook takes.

That hook binds the arguments of every call once more, so that axes of arrays can be compared, and makes two functions for each function. Only what takes or returns
arrays needs it; the others are left to beartype alone.
"""

import ast
import builtins
import random
import re
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader

from beartype import BeartypeConf, beartype
from beartype._check.code import codemain
from jaxtyping import TypeCheckError, jaxtyped

PACKAGE = "ann2neo"
# beartype looks at random places of a list. It draws them from a generator of its own, so that checks change no random state.
codemain.getrandbits = random.Random(0).getrandbits
_checked_by_beartype = beartype(conf=BeartypeConf(violation_type=TypeCheckError))


def checked(function):
    """Wrap a function by a check of its arguments and of what it returns; axes of the same name have the same length."""
    if _has_arrays(function) or _has_unknown_names(function):
        return jaxtyped(function, typechecker=beartype)
    return _checked_by_beartype(function)


def checked_class(cls):
    """Check what a dataclass is made of."""
    return jaxtyped(cls, typechecker=beartype)


def install():
    """Check all modules of the package that are imported from now on."""
    sys.meta_path.insert(0, _Finder())


def compiled(source, path):
    """Compile the text of a module whose functions and classes are checked."""
    tree = ast.parse(source, path)
    _Decorators().visit(tree)
    return compile(tree, path, "exec", dont_inherit=True)


def _has_arrays(function):
    """Whether an annotation names a type of arrays or an alias of one, or the arguments of another function, of which nothing is known."""
    hints = [_text(hint) for hint in function.__annotations__.values()]
    named = [_text(function.__globals__.get(word, "")) for hint in hints for word in re.findall(r"\w+", hint)]
    return "P.args" in hints or any("jaxtyping" in text for text in hints + named)


def _has_unknown_names(function):
    """Whether an annotation names what the module defines later, or imports for type checkers alone, which beartype would miss at the first call."""
    known = function.__globals__.keys() | vars(builtins).keys()
    hints = [hint for hint in function.__annotations__.values() if isinstance(hint, str)]
    return any(name not in known for hint in hints for name in re.findall(r"(?<![\w.'\"])[A-Za-z_]\w*", hint))


def _text(hint):
    """Write an annotation as text: aliases and classes with the module that they come from."""
    return hint if isinstance(hint, str) else f"{getattr(hint, '__module__', '')} {hint!r}"


class _Decorators(ast.NodeVisitor):
    """Decorate classes from outside and functions from inside, where annotations are still their own.

    Functions within functions are not: they would be decorated at every call, and beartype keeps whatever it once decorated, with all that a closure holds on to.
    """

    def visit_ClassDef(self, node):
        node.decorator_list.insert(0, _name("checked_class", node))
        self.generic_visit(node)

    def visit_FunctionDef(self, node):
        node.decorator_list.append(_name("checked", node))


def _name(function, node):
    call = ast.parse(f"__import__({__name__!r}).{function}", mode="eval").body
    for each in ast.walk(call):
        ast.copy_location(each, node)
    return call


class _Loader(SourceFileLoader):
    def get_code(self, fullname):
        """Compile the module; what is cached on the disk has no checks."""
        return compiled(self.get_data(self.path), self.path)


class _Finder(MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] != PACKAGE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec
