/* Lexer: the tables.  There is no code: lexer_step() looks a byte up. */
#include "qmp/lexer.h"

/* the order makes ranges of what a string goes on with, and of what recovery skips */
enum class {
    CLASS_CONTROL, /* 0: what lexer_class_table does not mention */
    CLASS_LINE_END,
    CLASS_RESET, /* bytes that UTF-8 never has */
    CLASS_TAB,
    CLASS_SPACE,
    CLASS_MINUS,
    CLASS_PLUS,
    CLASS_POINT,
    CLASS_ZERO,
    CLASS_DIGIT,
    CLASS_SMALL, /* a letter, in lower case */
    CLASS_SMALL_E,
    CLASS_BIG_E,
    CLASS_OTHER,
    CLASS_DOUBLE,
    CLASS_SINGLE,
    CLASS_BACKSLASH,
    CLASS_COLON,
    CLASS_COMMA,
    CLASS_OPEN_OBJECT,
    CLASS_OPEN_LIST,
    CLASS_CLOSE_OBJECT,
    CLASS_CLOSE_LIST,
    _CLASS_N,
};

const uint8_t lexer_class_table[256] = {
    ['\t'] = CLASS_TAB,           ['\n'] = CLASS_LINE_END,       ['\r'] = CLASS_LINE_END,
    [' '] = CLASS_SPACE,          ['!'] = CLASS_OTHER,           ['"'] = CLASS_DOUBLE,
    ['#' ... '&'] = CLASS_OTHER,  ['\''] = CLASS_SINGLE,         ['(' ... '*'] = CLASS_OTHER,
    ['+'] = CLASS_PLUS,           [','] = CLASS_COMMA,           ['-'] = CLASS_MINUS,
    ['.'] = CLASS_POINT,          ['/'] = CLASS_OTHER,           ['0'] = CLASS_ZERO,
    ['1' ... '9'] = CLASS_DIGIT,  [':'] = CLASS_COLON,           [';' ... 'D'] = CLASS_OTHER,
    ['E'] = CLASS_BIG_E,          ['F' ... 'Z'] = CLASS_OTHER,   ['['] = CLASS_OPEN_LIST,
    ['\\'] = CLASS_BACKSLASH,     [']'] = CLASS_CLOSE_LIST,      ['^' ... '`'] = CLASS_OTHER,
    ['a' ... 'd'] = CLASS_SMALL,  ['e'] = CLASS_SMALL_E,         ['f' ... 'z'] = CLASS_SMALL,
    ['{'] = CLASS_OPEN_OBJECT,    ['|'] = CLASS_OTHER,           ['}'] = CLASS_CLOSE_OBJECT,
    ['~' ... 0xFD] = CLASS_OTHER, [0xFE ... 0xFF] = CLASS_RESET,
};

/* what ends recovery; and what ends a number or word is read from LEXER_START at once, too */
#define ROW_STRUCTURE(ends)                                                                        \
    [CLASS_LINE_END] = LEXER_STEP(LEXER_START, LEXER_ACT_SKIP) | (ends),                           \
    [CLASS_COLON] = LEXER_STEP(LEXER_START, LEXER_ACT_COLON) | (ends),                             \
    [CLASS_COMMA] = LEXER_STEP(LEXER_START, LEXER_ACT_COMMA) | (ends),                             \
    [CLASS_OPEN_OBJECT] = LEXER_STEP(LEXER_START, LEXER_ACT_OPEN_OBJECT) | (ends),                 \
    [CLASS_OPEN_LIST] = LEXER_STEP(LEXER_START, LEXER_ACT_OPEN_LIST) | (ends),                     \
    [CLASS_CLOSE_OBJECT] = LEXER_STEP(LEXER_START, LEXER_ACT_CLOSE_OBJECT) | (ends),               \
    [CLASS_CLOSE_LIST] = LEXER_STEP(LEXER_START, LEXER_ACT_CLOSE_LIST) | (ends)

#define ROW_START(ends)                                                                            \
    ROW_STRUCTURE(ends), [CLASS_SPACE] = LEXER_STEP(LEXER_START, LEXER_ACT_SKIP) | (ends),         \
                         [CLASS_TAB] = LEXER_STEP(LEXER_START, LEXER_ACT_SKIP) | (ends),           \
                         [CLASS_DOUBLE] = LEXER_STEP(LEXER_DOUBLE, LEXER_ACT_STRING) | (ends),     \
                         [CLASS_SINGLE] = LEXER_STEP(LEXER_SINGLE, LEXER_ACT_STRING) | (ends),     \
                         [CLASS_MINUS] = LEXER_STEP(LEXER_SIGN, LEXER_ACT_NUMBER) | (ends)

#define ROW_STRING(lex)                                                                            \
    [CLASS_SPACE... CLASS_OTHER] = LEXER_STEP(lex, LEXER_ACT_STRING_BYTE),                         \
                    [CLASS_COLON... CLASS_CLOSE_LIST] = LEXER_STEP(lex, LEXER_ACT_STRING_BYTE)

#define ROW_ESCAPE(lex) [CLASS_SPACE... CLASS_CLOSE_LIST] = LEXER_STEP(lex, LEXER_ACT_STRING_BYTE)

#define ROW_E                                                                                      \
    [CLASS_SMALL_E] = LEXER_STEP(LEXER_E, LEXER_ACT_SKIP), [CLASS_BIG_E] =                         \
                                                               LEXER_STEP(LEXER_E, LEXER_ACT_SKIP)

#define ROW_DIGITS(lex)                                                                            \
    [CLASS_ZERO] = LEXER_STEP(lex, LEXER_ACT_SKIP), [CLASS_DIGIT] = LEXER_STEP(lex, LEXER_ACT_SKIP)

_Static_assert((int)_CLASS_N == (int)_LEXER_CLASS_N, "the header says how many");

/* what is not mentioned is an error */
const uint16_t lexer_table[_LEXER_STATE_N][_LEXER_CLASS_N] = {
    [LEXER_RECOVERY] =
        {
            ROW_STRUCTURE(0),
            [CLASS_TAB... CLASS_BACKSLASH] = LEXER_STEP(LEXER_RECOVERY, LEXER_ACT_SKIP),
        },
    [LEXER_START] =
        {
            ROW_START(0),
            [CLASS_SMALL] = LEXER_STEP(LEXER_WORD, LEXER_ACT_WORD),
            [CLASS_SMALL_E] = LEXER_STEP(LEXER_WORD, LEXER_ACT_WORD),
            [CLASS_ZERO] = LEXER_STEP(LEXER_ZERO, LEXER_ACT_NUMBER),
            [CLASS_DIGIT] = LEXER_STEP(LEXER_INTEGER, LEXER_ACT_NUMBER),
        },
    [LEXER_DOUBLE] =
        {
            ROW_STRING(LEXER_DOUBLE),
            [CLASS_SINGLE] = LEXER_STEP(LEXER_DOUBLE, LEXER_ACT_STRING_BYTE),
            [CLASS_BACKSLASH] = LEXER_STEP(LEXER_DOUBLE_ESCAPE, LEXER_ACT_STRING_BYTE),
            [CLASS_DOUBLE] = LEXER_STEP(LEXER_START, LEXER_ACT_STRING_END),
        },
    [LEXER_DOUBLE_ESCAPE] = {ROW_ESCAPE(LEXER_DOUBLE)},
    [LEXER_SINGLE] =
        {
            ROW_STRING(LEXER_SINGLE),
            [CLASS_DOUBLE] = LEXER_STEP(LEXER_SINGLE, LEXER_ACT_STRING_BYTE),
            [CLASS_BACKSLASH] = LEXER_STEP(LEXER_SINGLE_ESCAPE, LEXER_ACT_STRING_BYTE),
            [CLASS_SINGLE] = LEXER_STEP(LEXER_START, LEXER_ACT_STRING_END),
        },
    [LEXER_SINGLE_ESCAPE] = {ROW_ESCAPE(LEXER_SINGLE)},
    [LEXER_SIGN] =
        {
            [CLASS_ZERO] = LEXER_STEP(LEXER_ZERO, LEXER_ACT_SKIP),
            [CLASS_DIGIT] = LEXER_STEP(LEXER_INTEGER, LEXER_ACT_SKIP),
        },
    [LEXER_ZERO] =
        {
            ROW_START(LEXER_ENDS),
            [CLASS_SMALL] = LEXER_STEP(LEXER_WORD, LEXER_ACT_WORD) | LEXER_ENDS,
            [CLASS_SMALL_E] = LEXER_STEP(LEXER_WORD, LEXER_ACT_WORD) | LEXER_ENDS,
            [CLASS_POINT] = LEXER_STEP(LEXER_POINT, LEXER_ACT_SKIP),
        },
    [LEXER_INTEGER] =
        {
            ROW_START(LEXER_ENDS),
            [CLASS_SMALL] = LEXER_STEP(LEXER_WORD, LEXER_ACT_WORD) | LEXER_ENDS,
            ROW_DIGITS(LEXER_INTEGER),
            ROW_E,
            [CLASS_POINT] = LEXER_STEP(LEXER_POINT, LEXER_ACT_SKIP),
        },
    [LEXER_POINT] = {ROW_DIGITS(LEXER_FRACTION)},
    [LEXER_FRACTION] =
        {
            ROW_START(LEXER_ENDS),
            [CLASS_SMALL] = LEXER_STEP(LEXER_WORD, LEXER_ACT_WORD) | LEXER_ENDS,
            ROW_DIGITS(LEXER_FRACTION),
            ROW_E,
        },
    [LEXER_E] =
        {
            ROW_DIGITS(LEXER_EXPONENT),
            [CLASS_MINUS] = LEXER_STEP(LEXER_E_SIGN, LEXER_ACT_SKIP),
            [CLASS_PLUS] = LEXER_STEP(LEXER_E_SIGN, LEXER_ACT_SKIP),
        },
    [LEXER_E_SIGN] = {ROW_DIGITS(LEXER_EXPONENT)},
    [LEXER_EXPONENT] =
        {
            ROW_START(LEXER_ENDS),
            [CLASS_SMALL] = LEXER_STEP(LEXER_WORD, LEXER_ACT_WORD) | LEXER_ENDS,
            [CLASS_SMALL_E] = LEXER_STEP(LEXER_WORD, LEXER_ACT_WORD) | LEXER_ENDS,
            ROW_DIGITS(LEXER_EXPONENT),
        },
    [LEXER_WORD] =
        {
            ROW_START(LEXER_ENDS),
            [CLASS_SMALL] = LEXER_STEP(LEXER_WORD, LEXER_ACT_WORD_BYTE),
            [CLASS_ZERO] = LEXER_STEP(LEXER_ZERO, LEXER_ACT_NUMBER) | LEXER_ENDS,
            [CLASS_DIGIT] = LEXER_STEP(LEXER_INTEGER, LEXER_ACT_NUMBER) | LEXER_ENDS,
            [CLASS_SMALL_E] = LEXER_STEP(LEXER_WORD, LEXER_ACT_WORD_BYTE),
        },
};
