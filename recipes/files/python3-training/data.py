"""Data that come from elsewhere and go there: formats, compression, digests, times."""
import array
import base64
import binascii
import csv
import datetime
import io
import json
import pickle
import struct
import zlib
from xml.etree import ElementTree


def documents():
    items = [{'id': n, 'name': 'item %d' % n, 'price': n * 0.25, 'tags': ['a', 'b', None, True], 'size': {'x': n, 'y': -n}}
             for n in range(250)]
    for _ in range(6):
        text = json.dumps({'items': items, 'next': None, 'text': '\xe4"\\\n'}, sort_keys=True)
        again = json.loads(text)
        assert again['items'][7]['size']['y'] == -7 and len(again['items']) == 250
        total = sum(item['price'] for item in again['items'] if 'a' in item['tags'])
        assert total == sum(item['price'] for item in items)
    assert json.dumps(items[:5], indent=2).count('\n') > 20


def pickles():
    state = {'numbers': list(range(500)), 'texts': ['t%d' % n for n in range(300)], 'nested': [(n, {n: [n]}) for n in range(100)]}
    for _ in range(6):
        for protocol in (2, 5):
            assert pickle.loads(pickle.dumps(state, protocol)) == state
    assert pickle._loads(pickle._dumps(state)) == state


def tables():
    out = io.StringIO()
    writer = csv.writer(out)
    for n in range(2000):
        writer.writerow([n, 'name "%d"' % n, n / 8.0, 'a,b'])
    for _ in range(2):
        rows = list(csv.reader(io.StringIO(out.getvalue())))
        assert len(rows) == 2000 and rows[9][1] == 'name "9"'
    first = csv.DictReader(io.StringIO('a,b\n1,2\n' * 200), ['x', 'y'])
    assert sum(row['x'] == '1' for row in first) == 200


def binary():
    header = struct.Struct('<HIq8s')
    for n in range(4000):
        packed = header.pack(n & 0xffff, n * 3, -n, b'abcdefgh')
        assert header.unpack(packed)[2] == -n
    assert struct.unpack('>3d', struct.pack('>3d', 1.5, 2.5, 3.5)) == (1.5, 2.5, 3.5)
    numbers = array.array('i', range(5000))
    for position in range(len(numbers)):
        numbers[position] = numbers[position] * 3 % 1000
    assert len(numbers.tobytes()) == 20000 and sum(numbers) > 0
    view = memoryview(b'x' * 1000)
    assert len(view[10:20]) == 10


def compression_and_digests():
    text = ''.join('%d little lines of %s; ' % (n, 'abcdefg'[n % 7]) for n in range(3000)).encode()
    for level in (1, 6):
        assert zlib.decompress(zlib.compress(text, level)) == text
    assert binascii.unhexlify(binascii.hexlify(text)) == text and base64.b64decode(base64.b64encode(text)) == text
    crc = 0
    for start in range(0, len(text), 1000):
        crc = zlib.crc32(text[start:start + 1000], crc)
    assert crc == zlib.crc32(text) and zlib.adler32(text)


def documents_of_elements():
    root = ElementTree.Element('list')
    for n in range(400):
        entry = ElementTree.SubElement(root, 'entry', id=str(n))
        ElementTree.SubElement(entry, 'name').text = 'name %d' % n
    text = ElementTree.tostring(root)
    for _ in range(3):
        again = ElementTree.fromstring(text)
        assert len(again.findall('entry/name')) == 400 and again[3].get('id') == '3'
        assert sum(1 for element in again.iter('name') if element.text.endswith('7')) == 40


def calendar():
    day = datetime.date(1999, 12, 31)
    moment = datetime.datetime(2014, 3, 1, 12, 30)
    for n in range(2500):
        later = day + datetime.timedelta(days=n)
        assert (later - day).days == n and later.isoformat()[4] == '-'
        assert (moment + datetime.timedelta(hours=n)).weekday() < 7
    assert moment.strftime('%Y-%m-%d %H') == '2014-03-01 12' and moment.replace(year=2015) > moment
    assert datetime.datetime.strptime('2011-05-06', '%Y-%m-%d').month == 5


TASKS = [documents, pickles, tables, binary, compression_and_digests, documents_of_elements, calendar]
