/*
 * A random seed for hashes on each start from a snapshot.
 *
 * The seed is drawn before the interpreter hashes its first string, and never changes after that: strings keep their hashes, and
 * dictionaries and sets have their entries where the hashes say. The snapshot is made with a fixed seed. So what depends on the seed is
 * found once, when the snapshot is made, and made anew on each resume:
 *
 *   - hashes that strings, bytes and frozen sets keep are forgotten, in the snapshot already;
 *   - the index of each table of keys (of dictionaries, and of the attributes that instances of a class share), the table of each set,
 *     and the two hash tables of C (interned strings, modules in C) are remembered, and filled again with the same entries. Their
 *     entries stay where they are, which caches in bytecode rely on.
 *
 * CPython tells a tracer of every object that is made or goes, so nothing has to be looked for. Whatever else keeps a hash keeps one of
 * addresses or numbers, which no seed is part of.
 */
#include "start.h"

#include "pycore_dict.h"
#include "pycore_global_objects.h"
#include "pycore_hashtable.h"
#include "pycore_import.h"
#include "pycore_pyhash.h"
#include "pycore_runtime.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The objects that are alive, by address: a power of two that stays half empty. */
#define SLOTS (1u << 18)
#define GONE ((PyObject *)1)
static PyObject *alive[SLOTS];
static size_t alive_count;

/* What is made anew on resume. */
static PyDictKeysObject **keys;
static PySetObject **sets;
static size_t key_count, set_count;

static int
matters(PyObject *object)
{
    return PyUnicode_Check(object) || PyBytes_Check(object) || PyDict_Check(object) || PyAnySet_Check(object) || PyType_Check(object);
}

static int
trace(PyObject *object, PyRefTracerEvent event, void *data)
{
    size_t at = ((size_t)object >> 3) * 0x9E3779B1u >> 14, free_slot = SLOTS;

    if (!matters(object))
        return 0;
    for (; alive[at] != NULL && alive[at] != object; at = (at + 1) % SLOTS)
        if (alive[at] == GONE && free_slot == SLOTS)
            free_slot = at;
    if (event == PyRefTracer_DESTROY) {
        if (alive[at] == object)
            alive[at] = GONE;
    } else if (alive[at] == NULL) {
        if (free_slot == SLOTS && ++alive_count > SLOTS / 2)
            Py_FatalError("too many objects for a snapshot");
        alive[free_slot == SLOTS ? at : free_slot] = object;
    }
    return 0;
}

void
seed_watch(void)
{
    PyRefTracer_SetTracer(trace, NULL);
}

static void
forget_string(PyObject *string)
{
    ((PyASCIIObject *)string)->hash = -1;
}

static void
forget_bytes(PyObject *bytes)
{
    _Py_COMP_DIAG_PUSH
    _Py_COMP_DIAG_IGNORE_DEPR_DECLS
    ((PyBytesObject *)bytes)->ob_shash = -1;
    _Py_COMP_DIAG_POP
}

static int
by_address(const void *one, const void *other)
{
    const void *const *a = one, *const *b = other;

    return (*a > *b) - (*a < *b);
}

static void *
memory(size_t count)
{
    void *all = PyMem_RawCalloc(count + 1, sizeof(void *));

    if (all == NULL)
        Py_FatalError("no memory for a snapshot");
    return all;
}

static void
hold_keys(PyDictKeysObject *held)
{
    if (held != NULL && held->dk_nentries > 0)
        keys[key_count++] = held;
}

/* Each once: instances of a class share theirs. */
static void
sort_keys(void)
{
    size_t at, count = 0;

    qsort(keys, key_count, sizeof *keys, by_address);
    for (at = 0; at < key_count; at++)
        if (count == 0 || keys[count - 1] != keys[at])
            keys[count++] = keys[at];
    key_count = count;
}

void
seed_hold(void)
{
    _Py_hashtable_t *interned = _PyRuntime.cached_objects.interned_strings;
    size_t at;

    PyRefTracer_SetTracer(NULL, NULL);
    keys = memory(alive_count);
    sets = memory(alive_count);
    for (at = 0; at < SLOTS; at++) {
        PyObject *object = alive[at];

        if (object == NULL || object == GONE)
            continue;
        if (PyDict_Check(object)) {
            hold_keys(((PyDictObject *)object)->ma_keys);
        } else if (PyType_Check(object)) {
            if (PyType_HasFeature((PyTypeObject *)object, Py_TPFLAGS_HEAPTYPE))
                hold_keys(((PyHeapTypeObject *)object)->ht_cached_keys);
        } else if (PyAnySet_Check(object)) {
            ((PySetObject *)object)->hash = -1;
            sets[set_count++] = (PySetObject *)object;
        } else if (PyBytes_Check(object)) {
            forget_bytes(object);
        } else {
            forget_string(object);
        }
    }
    memset(alive, 0, sizeof alive);
    sort_keys();
    qsort(sets, set_count, sizeof *sets, by_address);
    /* Those that are part of the program. */
    for (at = 0; at < interned->nbuckets; at++) {
        _Py_slist_item_t *entry = interned->buckets[at].head;

        for (; entry != NULL; entry = entry->next)
            forget_string(((_Py_hashtable_entry_t *)entry)->key);
    }
    forget_bytes((PyObject *)&_Py_SINGLETON(bytes_empty));
    for (at = 0; at < 256; at++)
        forget_bytes((PyObject *)&_Py_SINGLETON(bytes_characters)[at]);
}

static Py_hash_t
hash_of(PyObject *object)
{
    Py_hash_t hash = PyObject_Hash(object);

    if (hash == -1)
        Py_FatalError("a key of the snapshot has no hash");
    return hash;
}

/* Where dictobject.c looks for a key. */
static void
place_key(PyDictKeysObject *table, Py_hash_t hash, Py_ssize_t entry)
{
    size_t mask = DK_SIZE(table) - 1, perturb = hash, at = hash & mask;
    int log2_size = DK_LOG_SIZE(table);

    for (;; perturb >>= 5, at = mask & (at * 5 + perturb + 1)) {
        if (log2_size < 8) {
            int8_t *index = (int8_t *)table->dk_indices + at;
            if (*index != DKIX_EMPTY)
                continue;
            *index = (int8_t)entry;
        } else if (log2_size < 16) {
            int16_t *index = (int16_t *)table->dk_indices + at;
            if (*index != DKIX_EMPTY)
                continue;
            *index = (int16_t)entry;
        } else {
            int32_t *index = (int32_t *)table->dk_indices + at;
            if (*index != DKIX_EMPTY)
                continue;
            *index = (int32_t)entry;
        }
        return;
    }
}

static void
fill_keys(PyDictKeysObject *table)
{
    Py_ssize_t at;

    memset(table->dk_indices, 0xff, (size_t)1 << table->dk_log2_index_bytes);
    for (at = 0; at < table->dk_nentries; at++) {
        if (DK_IS_UNICODE(table)) {
            PyObject *key = DK_UNICODE_ENTRIES(table)[at].me_key;
            if (key != NULL)
                place_key(table, hash_of(key), at);
        } else {
            PyDictKeyEntry *entry = &DK_ENTRIES(table)[at];
            if (entry->me_key != NULL) {
                entry->me_hash = hash_of(entry->me_key);
                place_key(table, entry->me_hash, at);
            }
        }
    }
}

/* Where setobject.c looks for a key. */
static void
place_in_set(setentry *table, size_t mask, PyObject *key, Py_hash_t hash)
{
    size_t perturb = hash, at = (size_t)hash & mask, near, last;

    for (;;) {
        last = at + 9 <= mask ? at + 9 : at;
        for (near = at; near <= last; near++) {
            if (table[near].key == NULL) {
                table[near] = (setentry){.key = key, .hash = hash};
                return;
            }
        }
        perturb >>= 5;
        at = (at * 5 + 1 + perturb) & mask;
    }
}

static void
fill_set(PySetObject *set)
{
    PyObject *held[set->used + 1];
    Py_ssize_t at, count = 0;

    for (at = 0; at <= set->mask; at++)
        if (set->table[at].key != NULL && set->table[at].hash != -1)
            held[count++] = set->table[at].key;
    memset(set->table, 0, (set->mask + 1) * sizeof *set->table);
    set->fill = set->used;
    set->finger = 0;
    for (at = 0; at < count; at++)
        place_in_set(set->table, set->mask, held[at], hash_of(held[at]));
}

static void
fill_table(_Py_hashtable_t *table)
{
    _Py_slist_item_t *all = NULL, *entry, *next;
    size_t at;

    if (table == NULL)
        return;
    for (at = 0; at < table->nbuckets; at++) {
        for (entry = table->buckets[at].head; entry != NULL; entry = next) {
            next = entry->next;
            entry->next = all;
            all = entry;
        }
        table->buckets[at].head = NULL;
    }
    for (entry = all; entry != NULL; entry = next) {
        _Py_hashtable_entry_t *own = (_Py_hashtable_entry_t *)entry;

        next = entry->next;
        own->key_hash = table->hash_func(own->key);
        at = own->key_hash & (table->nbuckets - 1);
        entry->next = table->buckets[at].head;
        table->buckets[at].head = entry;
    }
}

void
seed_draw(void)
{
    size_t at;

    if (getentropy(&_Py_HashSecret, sizeof _Py_HashSecret))
        Py_FatalError("no random bytes");
    fill_table(_PyRuntime.cached_objects.interned_strings);
    fill_table(_PyRuntime.imports.extensions.hashtable);
    /* Keys that are no strings may be hashed by functions in Python, which look up names. */
    for (at = 0; at < key_count; at++)
        if (DK_IS_UNICODE(keys[at]))
            fill_keys(keys[at]);
    for (at = 0; at < key_count; at++)
        if (!DK_IS_UNICODE(keys[at]))
            fill_keys(keys[at]);
    for (at = 0; at < set_count; at++)
        fill_set(sets[at]);
    /* They belong to what lives on: a table that grows is another one then. */
    PyMem_RawFree(keys);
    PyMem_RawFree(sets);
}
