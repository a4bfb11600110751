"""The modules of Python 3 that take libraries in: run inside by bin/test_python3, with a writable /rw."""

import datetime
import hashlib
import hmac
import importlib.metadata
import importlib.util
import lzma
import os
import sqlite3
import ssl
import unittest
import uuid
import zoneinfo

import _hashlib
import _uuid


class Digests(unittest.TestCase):
    # Of FIPS 180-2, FIPS 202, RFC 1321 and RFC 7693: the digests of "abc".
    OF_ABC = {
        "md5": "900150983cd24fb0d6963f7d28e17f72",
        "sha1": "a9993e364706816aba3e25717850c26c9cd0d89d",
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha512": "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                  "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "sha3_256": "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
        "blake2b": "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                   "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
        "ripemd160": "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc",
    }

    def test_known_answers(self):
        for name, digest in self.OF_ABC.items():
            self.assertEqual(hashlib.new(name, b"abc").hexdigest(), digest, name)
        for name in ["md5", "sha1", "sha256", "sha512", "sha3_256"]:
            self.assertEqual(getattr(_hashlib, "openssl_" + name)(b"abc").hexdigest(), self.OF_ABC[name], name)

    def test_keys(self):
        # RFC 4231, case 2; RFC 6070; RFC 7914.
        self.assertEqual(hmac.new(b"Jefe", b"what do ya want for nothing?", "sha256").hexdigest(),
                         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        self.assertEqual(hashlib.pbkdf2_hmac("sha1", b"password", b"salt", 4096).hex(), "4b007901b765489abead49d926f721d065a429c1")
        self.assertEqual(hashlib.scrypt(b"", salt=b"", n=16, r=1, p=1, dklen=16).hex(), "77d6576238657b203b19ca42c18a0497")

    def test_no_provider_of_old_digests(self):
        self.assertRaises(ValueError, hashlib.new, "md4")


class Tls(unittest.TestCase):
    def test_context(self):
        context = ssl.create_default_context()
        self.assertTrue(ssl.OPENSSL_VERSION.startswith("OpenSSL 3.0."), ssl.OPENSSL_VERSION)
        self.assertEqual(context.verify_mode, ssl.CERT_REQUIRED)
        names = {cipher["name"] for cipher in context.get_ciphers()}
        self.assertLessEqual({"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"}, names)

    def test_random_bytes(self):
        self.assertNotEqual(ssl.RAND_bytes(16), ssl.RAND_bytes(16))

    def test_a_handshake_in_memory(self):
        # The client says hello; nobody answers.
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="example.org")
        self.assertRaises(ssl.SSLWantReadError, client.do_handshake)
        hello = outgoing.read()
        self.assertEqual(hello[:2], b"\x16\x03")
        self.assertIn(b"example.org", hello)


class Databases(unittest.TestCase):
    def connect(self, path=":memory:"):
        base = sqlite3.connect(path)
        self.addCleanup(base.close)
        return base

    def test_memory(self):
        base = self.connect()
        self.assertGreaterEqual(sqlite3.sqlite_version_info, (3, 46))
        base.execute("create table t (a integer primary key, b text, c blob)")
        rows = [(1, "é", b"\0\1"), (2, None, b"")]
        base.executemany("insert into t values (?, ?, ?)", rows)
        self.assertEqual(list(base.execute("select * from t")), rows)
        self.assertEqual(base.execute("select sum(a), json_extract('{\"x\": [1, 2]}', '$.x[1]'), round(sqrt(2), 3) from t").fetchone(),
                         (3, 2, 1.414))
        copy = self.connect()
        copy.deserialize(base.serialize())
        self.assertEqual(copy.execute("select count(*) from t").fetchone(), (2,))

    def test_words(self):
        base = self.connect()
        base.execute("create virtual table t using fts5(a)")
        base.executemany("insert into t values (?)", [("one two",), ("two three",)])
        self.assertEqual(base.execute("select count(*) from t where t match 'two'").fetchone(), (2,))

    def test_a_file(self):
        path = "/rw/base.sqlite"
        for count in [1, 2]:
            base = self.connect(path)
            with base:
                base.execute("create table if not exists t (a)")
                base.execute("insert into t values (?)", (count,))
            base.close()
        base = self.connect(path)
        self.assertEqual(list(base.execute("select a from t")), [(1,), (2,)])
        base.close()
        os.remove(path)

    def test_sorts_beyond_the_cache(self):
        # There is no folder for temporary files; what is sorted stays in memory.
        base = self.connect()
        base.execute("create table t (a)")
        base.executemany("insert into t values (?)", (("x" * 100 + str(i * 7919 % 100003),) for i in range(30000)))
        self.assertEqual(sum(1 for _ in base.execute("select a from t order by a")), 30000)

    def test_terms_beyond_the_limit(self):
        # CVE-2025-6965
        terms = ", ".join("sum(a + %d)" % number for number in range(3000))
        base = self.connect()
        base.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, 500)
        base.execute("create table t (a)")
        with self.assertRaisesRegex(sqlite3.OperationalError, "too many columns|more than 500 aggregate terms"):
            base.execute("select " + terms + " from t")
        with self.assertRaisesRegex(sqlite3.OperationalError, "more than 500 aggregate terms"):
            base.execute("select a from t group by a order by " + " + ".join("sum(a + %d)" % number for number in range(600)))


class Packed(unittest.TestCase):
    DATA = b"".join(b"%d squared is %d\n" % (i, i * i) for i in range(5000))

    def test_there_and_back(self):
        for format, check in [(lzma.FORMAT_XZ, lzma.CHECK_CRC64), (lzma.FORMAT_XZ, lzma.CHECK_SHA256), (lzma.FORMAT_ALONE, -1)]:
            packed = lzma.compress(self.DATA, format=format, check=check)
            self.assertLess(len(packed), len(self.DATA) // 2)
            self.assertEqual(lzma.decompress(packed), self.DATA)

    def test_filters(self):
        for filter in [lzma.FILTER_X86, lzma.FILTER_ARM, lzma.FILTER_POWERPC, lzma.FILTER_SPARC, lzma.FILTER_IA64]:
            filters = [{"id": filter}, {"id": lzma.FILTER_LZMA2, "preset": 1}]
            packed = lzma.compress(self.DATA, lzma.FORMAT_RAW, filters=filters)
            self.assertEqual(lzma.decompress(packed, lzma.FORMAT_RAW, filters=filters), self.DATA)

    def test_what_others_packed(self):
        # By xz 5.4.1, with SHA-256.
        packed = bytes.fromhex("fd377a585a00000ae1fb0ca10200210116000000742fe5a301000568656c6c6f0a0000005891b5b522d5df086d0ff0b110fb"
                               "d9d21bb4fc7163af34d08286a2e846f6be03000136066b81f940189b4b9a01000000000a595a")
        self.assertEqual(lzma.decompress(packed), b"hello\n")

    def test_what_is_broken(self):
        packed = bytearray(lzma.compress(self.DATA))
        packed[len(packed) // 2] ^= 1
        self.assertRaises(lzma.LZMAError, lzma.decompress, bytes(packed))


class Identifiers(unittest.TestCase):
    def test_by_time(self):
        self.assertTrue(_uuid.has_uuid_generate_time_safe)
        one, two = uuid.uuid1(), uuid.uuid1()
        self.assertEqual((one.version, one.variant), (1, uuid.RFC_4122))
        self.assertNotEqual(one, two)
        # A node without a network has a random number, which is marked.
        self.assertTrue(one.node >> 40 & 1)

    def test_random(self):
        self.assertNotEqual(uuid.uuid4(), uuid.uuid4())


class Zones(unittest.TestCase):
    def test_a_zone(self):
        zone = zoneinfo.ZoneInfo("America/New_York")
        winter = datetime.datetime(2024, 1, 15, 12, tzinfo=zone)
        summer = datetime.datetime(2024, 7, 15, 12, tzinfo=zone)
        self.assertEqual((winter.utcoffset().total_seconds(), summer.utcoffset().total_seconds()), (-18000, -14400))
        self.assertEqual((winter.tzname(), summer.tzname()), ("EST", "EDT"))

    def test_all_of_them(self):
        names = zoneinfo.available_timezones()
        self.assertGreater(len(names), 500)
        for name in ["Europe/Berlin", "Asia/Kolkata", "Pacific/Chatham", "UTC"]:
            self.assertIn(name, names)
            self.assertIsNotNone(datetime.datetime(2026, 6, 1, tzinfo=zoneinfo.ZoneInfo(name)).utcoffset())


class Projects(unittest.TestCase):
    def test_what_they_say_of_themselves(self):
        # Those that are installed, each by the name of its package.
        for name in ("tzdata", "lxml", "numpy", "markupsafe"):
            if importlib.util.find_spec(name) is not None:
                with self.subTest(name):
                    stated = importlib.metadata.version(name)
                    self.assertEqual(stated, importlib.import_module(name).__version__)


if __name__ == "__main__":
    unittest.main()
