#pragma once

/*
 * Lexer: bytes of a client to JSON tokens, one byte at a time, as in QEMU
 * (qobject/json-lexer.c), with single quotes as well as double ones.  Where
 * tokens begin and end, and no more: it knows neither which may follow which
 * nor what is inside of strings and words, and keeps nothing but its state.
 */

#include <stdbool.h>
#include <stdint.h>

/* what is being read */
enum lexer_state {
    LEXER_RECOVERY, /* after a lexical error; 0: what the table does not mention */
    LEXER_START,    /* between tokens */
    LEXER_DOUBLE,   /* a string in double quotes */
    LEXER_DOUBLE_ESCAPE,
    LEXER_SINGLE, /* a string in single quotes */
    LEXER_SINGLE_ESCAPE,
    LEXER_SIGN, /* a number: -12.34e+56 */
    LEXER_ZERO,
    LEXER_INTEGER,
    LEXER_POINT,
    LEXER_FRACTION,
    LEXER_E,
    LEXER_E_SIGN,
    LEXER_EXPONENT,
    LEXER_WORD,
    _LEXER_STATE_N,
};

/* what a byte does */
enum lexer_act {
    LEXER_ACT_ERROR, /* 0: what the table does not mention */
    LEXER_ACT_SKIP,
    LEXER_ACT_STRING_BYTE,
    LEXER_ACT_WORD_BYTE,
    LEXER_ACT_STRING, /* from here on it begins a token, */
    LEXER_ACT_NUMBER,
    LEXER_ACT_WORD,
    LEXER_ACT_STRING_END, /* (this one does not) */
    LEXER_ACT_COLON,      /* and from here on it is the whole of it */
    LEXER_ACT_COMMA,
    LEXER_ACT_OPEN_OBJECT,
    LEXER_ACT_OPEN_LIST,
    LEXER_ACT_CLOSE_OBJECT,
    LEXER_ACT_CLOSE_LIST,
    _LEXER_ACT_N,
};

enum {
    _LEXER_CLASS_N = 23, /* bytes that are all the same to every state */
    LEXER_ENDS = 1 << 8, /* a number or word ended just before this byte */
};

/* a step: the next state, what the byte does, LEXER_ENDS */
#define LEXER_STEP(state, act) ((state) | (act) << 4)
#define LEXER_STATE(step) ((step)&15)
#define LEXER_ACT(step) ((step) >> 4 & 15)

_Static_assert(_LEXER_STATE_N <= 16 && _LEXER_ACT_N <= 16, "a step has four bits for each");

extern const uint8_t lexer_class_table[256];
extern const uint16_t lexer_table[_LEXER_STATE_N][_LEXER_CLASS_N];

/* Return: the step that @c makes in @state */
static inline uint16_t lexer_step(uint8_t state, unsigned char c) {
    return lexer_table[state][lexer_class_table[c]];
}

static inline bool lexer_is_in_token(uint8_t state) {
    return state != LEXER_START && state != LEXER_RECOVERY;
}
