"""Text: strings, bytes, regular expressions, templates."""
import difflib
import io
import re
import string
import textwrap

PARAGRAPH = '''A loader gives a program its memory and its files. What it does not give, the program does not see; what it
gives, the program may use as it likes. So a loader is short, and each line of it has been read by many.'''


def log_lines(count):
    for n in range(count):
        yield '2014-%02d-%02dT%02d:%02d:00 host%d app[%d]: %s user=%s bytes=%d path=/srv/%s/%d.html' % (
            n % 12 + 1, n % 28 + 1, n % 24, n % 60, n % 7, n, ('INFO', 'WARN', 'ERROR')[n % 3], 'ab%d' % (n % 50), n * 31,
            'abc'[n % 3] * 3, n)


def split_and_join():
    totals = {}
    for line in log_lines(4000):
        stamp, host, app, level, rest = line.split(' ', 4)
        fields = dict(part.split('=', 1) for part in rest.split())
        totals[host, level] = totals.get((host, level), 0) + int(fields['bytes'])
        assert stamp[:4].isdigit() and app.startswith('app[') and app.rstrip(':').endswith(']')
        assert line.replace('user', 'name').find('name=') > 0 and '|'.join(line.split()).count('|') >= 5
    report = ''
    for (host, level), total in sorted(totals.items()):
        report += '%-8s %5s %10d\n' % (host, level, total)
    assert len(report.splitlines()) == 21 and report.upper() != report.lower()
    assert report.strip().partition('\n')[0].title()


def patterns():
    line = re.compile(r'^(?P<date>[\d-]+)T(\S+) (?P<host>\w+) \w+\[(\d+)\]: (?P<level>[A-Z]+) (.*)$')
    number = re.compile(r'\b(?:bytes|size)=(\d+)')
    errors = 0
    for text in log_lines(2500):
        match = line.match(text)
        errors += match.group('level') == 'ERROR'
        assert number.search(text).group(1).isdigit()
    assert errors == 833
    page = ' '.join(log_lines(300))
    assert len(re.findall(r'path=(/\S+\.html)', page)) == 300
    assert re.sub(r'(\w+)=(\w+)', r'\2=\1', page).count('=user') == 300
    assert len(re.split(r'[\s:,;]+', page)) > 2000
    assert re.sub('[aeiou]', lambda match: match.group().upper(), PARAGRAPH).count('E') > 10
    tokens = re.compile(r'\s*(?:(\d+)|(.))')
    for _ in range(60):
        assert sum(1 for _ in tokens.finditer('12 + 345*(6-78)/9 ' * 12)) == 11 * 12 + 1
    assert not re.match(r'(a|b)*c', 'ab' * 200)


def formatting():
    for n in range(3000):
        assert '%5d|%-6s|%06.2f|%x|%r' % (n, 'ab', n / 3.0, n, 'q') and '{0:>8}{1:,}{name!r}'.format(n, n * 1000, name='x')
        assert str(n) + repr(n * 1.5) + hex(n) and 'a%%b%s' % n
        assert f'{n:>6} {n * 0.5:8.2f} {n!r} {"ab"[n % 2]}' and f'{PARAGRAPH[:n % 20]}{n}'
    form = string.Template('$who owes $$${amount} to $whom')
    for n in range(300):
        assert form.substitute(who='a', amount=n, whom='b').startswith('a owes $')
    wrapped = textwrap.wrap(PARAGRAPH * 4, 40)
    assert max(map(len, wrapped)) <= 40 and textwrap.dedent('   a\n   b') == 'a\nb'
    table = str.maketrans('abc', 'xyz', 'q')
    for _ in range(200):
        assert PARAGRAPH.translate(table).encode().translate(None, b'x')
    diff = list(difflib.unified_diff(wrapped, wrapped[1:] + ['end'], lineterm=''))
    assert diff and difflib.SequenceMatcher(None, PARAGRAPH, PARAGRAPH[5:]).ratio() > 0.9


def unicode_text():
    text = 'Gr\xfc\xdfe aus K\xf6ln, \u0394\u03b5\u03bb\u03c4\u03b1 \u4f60\u597d \U0001f40d '
    for n in range(600):
        line = text * 3 + str(n)
        data = line.encode('utf-8')
        assert data.decode('utf-8') == line and line.upper().lower() and len(data) > len(line)
        words = line.split()
        assert ' '.join(words).replace('K\xf6ln', 'x') and line.find('\u4f60') > 0
        assert line.encode('utf-16').decode('utf-16') == line and line.encode('ascii', 'replace').count(b'?')
        assert '%s: %d' % (words[0], n) and words[0].isalpha() and not words[-1].isspace()
    counts = {}
    for character in text * 400:
        counts[character] = counts.get(character, 0) + 1
    assert counts[' '] == 2400


def buffers():
    for kind, text in (io.StringIO, str), (io.BytesIO, str.encode):
        for _ in range(4):
            out = kind()
            for line in log_lines(800):
                out.write(text(line))
                out.write(text('\n'))
            source = kind(out.getvalue())
            assert len(source.readlines()) == 800
            source.seek(0)
            assert source.read(4) == text('2014') and sum(1 for _ in source) == 800
    pieces = []
    for n in range(20000):
        pieces.append(chr(97 + n % 26))
    joined = ''.join(pieces)
    changed = bytearray(joined, 'ascii')
    for position in range(0, len(changed), 7):
        changed[position] ^= 32
    assert changed.decode().swapcase() != joined and joined[::-1][::-1] == joined and joined[5:50:3]


TASKS = [split_and_join, patterns, formatting, unicode_text, buffers]
