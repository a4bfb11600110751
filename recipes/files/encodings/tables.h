/*
 * The format of a table of an encoding: 32-bit words, the lowest byte first. What writes them is tables.c, what reads them sandbox_inner's iconv.c.
 *
 * A node has the bytes that may come next: in its first word the lowest and the highest one (8 bits each), then an entry for each. An entry is 0
 * for no character, a character's code + 1, or one of the kinds below. Bytes of characters are one number, the first byte highest.
 */
#ifndef ENCODING_TABLES_H
#define ENCODING_TABLES_H

#define MAGIC 0x31636e65 /* "enc1" */
#define MODES 4

/* The words of the header. */
enum {
    H_MAGIC,
    H_MODES,           /* how many modes there are; the first one is that of a text's beginning and end */
    H_STAYS,           /* whether a character that the current mode has is written in it, whatever other modes have it */
    H_BEGIN,           /* the bytes that a text begins with, or 0 */
    H_PAIRS,           /* where the characters are that come and go in pairs: first, second, and the bytes to write them, or 0 */
    H_PAIR_COUNT,
    H_COMPOSED,        /* where the characters are that follow each other and are read as one: first, second, the one; sorted */
    H_COMPOSED_COUNT,
    H_EXCEPTIONS,      /* where the characters are whose bytes to write are not the first ones that a walk finds: code and mode, bytes + 1 or 0 */
    H_EXCEPTION_COUNT,
    H_ROOTS,           /* for each mode, where its node is */
    H_SELECT = H_ROOTS + MODES, /* for each mode, the bytes that select it */
    HEADER_WORDS = H_SELECT + MODES
};

/* Kinds of entries. */
#define IS_NODE 0x80000000   /* where the node of the next byte is */
#define IS_PAIR 0x40000000   /* the number of a pair */
#define IS_LINEAR 0x20000000 /* the first of LINEAR characters in a row, for 126 * 10 sequences of two more bytes */
#define LINEAR 1260
#define linear_bytes(i) ((0x81 + (i) / 10) << 8 | (0x30 + (i) % 10))

#endif
