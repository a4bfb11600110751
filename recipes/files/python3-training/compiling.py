"""Programs that are read and compiled, and modules that are imported: what each start of a program does."""
import ast
import os
import sys
import tokenize

HERE = os.path.dirname(os.path.abspath(__file__))


def sources():
    for name in sorted(os.listdir(HERE)):
        if name.endswith('.py'):
            with open(os.path.join(HERE, name)) as source:
                yield name, source.read()


def compile_sources():
    for _ in range(2):
        for name, text in sources():
            code = compile(text, name, 'exec')
            assert code.co_names is not None
            tree = ast.parse(text)
            assert sum(isinstance(node, ast.Name) for node in ast.walk(tree)) > 0


def tokens():
    for name, text in list(sources())[:3]:
        assert sum(1 for _ in tokenize.generate_tokens(iter(text.splitlines(True)).__next__)) > 100


def evaluate():
    names = {'a': 3, 'b': 4}
    for n in range(600):
        assert eval('a * %d + b' % n, names) == 3 * n + 4
    exec('def made(x):\n    return x + a\n', names)
    assert names['made'](1) == 4


def imports():
    for name in 'queue shlex fnmatch glob getopt optparse logging pprint tempfile argparse configparser sched calendar'.split():
        for _ in range(2):
            module = __import__(name)
            assert module.__name__ == name
            del sys.modules[name]


TASKS = [compile_sources, tokens, evaluate, imports]
