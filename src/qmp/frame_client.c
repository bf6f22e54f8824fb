/*
 * The client's scanner, for all that frame_quick.c leaves to it, is three
 * machines, one on top of the other:
 *
 *   lexer    bytes to tokens (lexer.h)
 *   count    brackets and limits: where QEMU thinks that a message ends
 *   grammar  is the object still valid?  Runs inside objects only
 *
 * Outside of valid objects only the first two run, so that both sides agree
 * on where the next message begins, whatever is sent.
 */
#include "qmp/frame_parts.h"

#include <string.h>

#include "base/util.h"
#include "qmp/lexer.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* ---- count ---- */

static bool count_is_open(const struct frame_reader *r) {
    return r->n_braces != 0 || r->n_brackets != 0;
}

static size_t count_depth(const struct frame_reader *r) {
    return (size_t)r->n_braces + (size_t)r->n_brackets;
}

static void count_reset(struct frame_reader *r) {
    r->n_braces = r->n_brackets = 0;
    r->n_tokens = r->n_token_bytes = 0;
}

/* Return: false when QEMU refuses the message for its size and starts afresh (since 11.1 it waits for the balance) */
static inline bool count_token(struct frame_reader *r, size_t n_bytes) {
    bool is_over;

    is_over = r->n_token_bytes + n_bytes + 1 > FRAME_MAX_TOKEN_BYTES ||
              r->n_tokens + 1 > FRAME_MAX_TOKENS || r->n_braces + r->n_brackets > FRAME_MAX_DEPTH;
    r->n_tokens++;
    r->n_token_bytes += n_bytes;
    if (is_over || !count_is_open(r) || r->n_braces < 0 || r->n_brackets < 0)
        count_reset(r);
    return !is_over;
}

/*
 * One byte, whatever stood before it: moves the lexer on and counts.
 * Return: false when QEMU answers an error right here and starts afresh.
 */
static inline bool count_byte(struct frame_reader *r, uint16_t step, size_t at) {
    static const int8_t braces[_LEXER_ACT_N] = {
        [LEXER_ACT_OPEN_OBJECT] = 1, [LEXER_ACT_CLOSE_OBJECT] = -1};
    static const int8_t brackets[_LEXER_ACT_N] = {
        [LEXER_ACT_OPEN_LIST] = 1, [LEXER_ACT_CLOSE_LIST] = -1};
    enum lexer_act act = LEXER_ACT(step);
    bool is_fine = true;

    if (step & LEXER_ENDS)
        is_fine = count_token(r, at - r->token_at);
    r->lexer = LEXER_STATE(step);
    if (act == LEXER_ACT_ERROR) {
        count_reset(r);
        return false;
    }
    if (act >= LEXER_ACT_STRING && act != LEXER_ACT_STRING_END)
        r->token_at = at;
    if (act < LEXER_ACT_STRING_END)
        return is_fine;
    r->n_braces += braces[act];
    r->n_brackets += brackets[act];
    return count_token(r, at + 1 - r->token_at) && is_fine;
}

/* ---- grammar; a function returns whether the object can still be valid ---- */

/* as far as QEMU takes one (util/unicode.c) */
static bool is_character(uint32_t code) {
    return code <= 0x10FFFF && !(code >= 0xD800 && code <= 0xDFFF) &&
           !(code >= 0xFDD0 && code <= 0xFDEF) && (code & 0xFFFE) != 0xFFFE;
}

static int hex_digit(unsigned char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool string_hex(struct frame_string *s, unsigned char c) {
    int digit = hex_digit(c);

    if (digit < 0)
        return false;
    s->code = s->code << 4 | (uint32_t)digit;
    if (--s->n_hex > 0)
        return true;
    if (s->high) {
        if (s->code < 0xDC00 || s->code > 0xDFFF)
            return false;
        s->code = 0x10000 + ((s->high & 0x3FFu) << 10 | (s->code & 0x3FF));
        s->high = 0;
    } else if (s->code >= 0xD800 && s->code <= 0xDBFF) {
        s->high = (uint16_t)s->code;
        return true;
    }
    return is_character(s->code);
}

static bool string_escape(struct frame_string *s, unsigned char c) {
    if (c == 'u') {
        s->n_hex = 4;
        s->code = 0;
        return true;
    }
    return !s->high && strchr("\"'\\/bfnrt", c);
}

static bool string_utf8_first(struct frame_string *s, unsigned char c) {
    /* longer sequences than these make no character */
    if (c >= 0xC0 && c <= 0xDF)
        *s = (struct frame_string){.code = c & 0x1F, .n_more = 1, .min_code = 0x80};
    else if (c >= 0xE0 && c <= 0xEF)
        *s = (struct frame_string){.code = c & 0x0F, .n_more = 2, .min_code = 0x800};
    else if (c >= 0xF0 && c <= 0xF7)
        *s = (struct frame_string){.code = c & 0x07, .n_more = 3, .min_code = 0x10000};
    else
        return false;
    return true;
}

static bool string_utf8_more(struct frame_string *s, unsigned char c) {
    if ((c & 0xC0) != 0x80)
        return false;
    s->code = s->code << 6 | (c & 0x3F);
    if (--s->n_more > 0)
        return true;
    /* modified UTF-8: U+0000 in two bytes is right, though longer than need be */
    return is_character(s->code) &&
           (s->code >= s->min_code || (s->code == 0 && s->min_code == 0x80));
}

/* one byte of a string, closing quote included */
static bool string_byte(struct frame_reader *r, unsigned char c) {
    struct frame_string *s = &r->string;

    if (s->n_hex > 0)
        return string_hex(s, c);
    if (s->n_more > 0)
        return string_utf8_more(s, c);
    if (r->lexer == LEXER_DOUBLE_ESCAPE || r->lexer == LEXER_SINGLE_ESCAPE)
        return string_escape(s, c);
    if (s->high)
        return c == '\\';
    return c < 0x80 || string_utf8_first(s, c);
}

/* is nothing but plain characters up to the next special one? */
static bool string_is_plain(const struct frame_reader *r) {
    const struct frame_string *s = &r->string;

    return (r->lexer == LEXER_DOUBLE || r->lexer == LEXER_SINGLE) &&
           !(s->n_hex | s->n_more | s->high);
}

/* Return: how many bytes need no look at each */
static size_t string_skip_plain(const char *text, size_t n) {
    static const bool is_special[256] = {
        [0 ... 0x1F] = true, ['"'] = true, ['\''] = true, ['\\'] = true, [0x80 ... 0xFF] = true,
    };
    size_t i = 0;

#if defined(__SSE2__)
    for (; n - i >= 16; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(text + i));
        __m128i found = _mm_cmplt_epi8(v, _mm_set1_epi8(' ')); /* signed: and above ASCII */
        unsigned int bits;

        found = _mm_or_si128(found, _mm_cmpeq_epi8(v, _mm_set1_epi8('"')));
        found = _mm_or_si128(found, _mm_cmpeq_epi8(v, _mm_set1_epi8('\'')));
        found = _mm_or_si128(found, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
        bits = (unsigned int)_mm_movemask_epi8(found);
        if (bits)
            return i + (size_t)__builtin_ctz(bits);
    }
#endif
    while (i < n && !is_special[(unsigned char)text[i]])
        i++;
    return i;
}

static const uint8_t expect_table[_EXPECT_N][_LEXER_ACT_N] = {
    [EXPECT_OBJECT] = {[LEXER_ACT_OPEN_OBJECT] = EXPECT_FIRST_KEY},
    [EXPECT_FIRST_KEY] =
        {[LEXER_ACT_STRING] = EXPECT_COLON, [LEXER_ACT_CLOSE_OBJECT] = EXPECT_OUTER},
    [EXPECT_KEY] = {[LEXER_ACT_STRING] = EXPECT_COLON},
    [EXPECT_COLON] = {[LEXER_ACT_COLON] = EXPECT_MEMBER},
    [EXPECT_MEMBER] =
        {
            [LEXER_ACT_STRING] = EXPECT_AFTER_MEMBER,
            [LEXER_ACT_NUMBER] = EXPECT_AFTER_MEMBER,
            [LEXER_ACT_WORD] = EXPECT_AFTER_MEMBER,
            [LEXER_ACT_OPEN_OBJECT] = EXPECT_FIRST_KEY,
            [LEXER_ACT_OPEN_LIST] = EXPECT_FIRST_ELEMENT,
        },
    [EXPECT_AFTER_MEMBER] =
        {[LEXER_ACT_COMMA] = EXPECT_KEY, [LEXER_ACT_CLOSE_OBJECT] = EXPECT_OUTER},
    [EXPECT_FIRST_ELEMENT] =
        {
            [LEXER_ACT_STRING] = EXPECT_AFTER_ELEMENT,
            [LEXER_ACT_NUMBER] = EXPECT_AFTER_ELEMENT,
            [LEXER_ACT_WORD] = EXPECT_AFTER_ELEMENT,
            [LEXER_ACT_OPEN_OBJECT] = EXPECT_FIRST_KEY,
            [LEXER_ACT_OPEN_LIST] = EXPECT_FIRST_ELEMENT,
            [LEXER_ACT_CLOSE_LIST] = EXPECT_OUTER,
        },
    [EXPECT_ELEMENT] =
        {
            [LEXER_ACT_STRING] = EXPECT_AFTER_ELEMENT,
            [LEXER_ACT_NUMBER] = EXPECT_AFTER_ELEMENT,
            [LEXER_ACT_WORD] = EXPECT_AFTER_ELEMENT,
            [LEXER_ACT_OPEN_OBJECT] = EXPECT_FIRST_KEY,
            [LEXER_ACT_OPEN_LIST] = EXPECT_FIRST_ELEMENT,
        },
    [EXPECT_AFTER_ELEMENT] =
        {[LEXER_ACT_COMMA] = EXPECT_ELEMENT, [LEXER_ACT_CLOSE_LIST] = EXPECT_OUTER},
};

static bool grammar_open(struct frame_reader *r, bool is_list) {
    size_t depth = count_depth(r);

    if (depth == FRAME_MAX_DEPTH)
        return false;
    r->nesting[depth / 64] &= ~((uint64_t)1 << depth % 64);
    r->nesting[depth / 64] |= (uint64_t)is_list << depth % 64;
    return true;
}

static bool grammar_close(struct frame_reader *r, size_t at) {
    size_t depth = count_depth(r) - 1; /* of the bracket around this one */

    if (depth == 0)
        return true;
    if (depth == 1)
        frame_value_end(r, at + 1);
    depth--;
    r->expect =
        r->nesting[depth / 64] >> depth % 64 & 1 ? EXPECT_AFTER_ELEMENT : EXPECT_AFTER_MEMBER;
    return true;
}

static bool grammar_word(struct frame_reader *r, unsigned char c) {
    r->word = c == 't' ? "rue" : c == 'f' ? "alse" : "ull";
    return c == 't' || c == 'f' || c == 'n';
}

static bool grammar_string(struct frame_reader *r, unsigned char c, size_t at) {
    enum use use = USE_VALUE;

    if (count_depth(r) == 1)
        use = frame_string_use(r, r->expect == EXPECT_COLON);
    if (c == '\'')
        r->frame.is_single_quoted = true;
    r->string = (struct frame_string){0};
    frame_string_begin(r, use, at);
    return true;
}

/* the first byte of a token */
static bool grammar_token(struct frame_reader *r, enum lexer_act act, unsigned char c, size_t at) {
    enum expect next = expect_table[r->expect][act];

    if (next == EXPECT_NOTHING)
        return false;
    if (r->expect == EXPECT_MEMBER && count_depth(r) == 1)
        r->value_at = at;
    r->expect = next;
    switch (act) {
    case LEXER_ACT_STRING:
        return grammar_string(r, c, at);
    case LEXER_ACT_WORD:
        return grammar_word(r, c);
    case LEXER_ACT_OPEN_OBJECT:
    case LEXER_ACT_OPEN_LIST:
        return grammar_open(r, act == LEXER_ACT_OPEN_LIST);
    case LEXER_ACT_CLOSE_OBJECT:
    case LEXER_ACT_CLOSE_LIST:
        return grammar_close(r, at);
    default:
        return true;
    }
}

static bool grammar_string_byte(struct frame_reader *r, unsigned char c) {
    if (c == '\\')
        frame_string_is_escaped(r);
    frame_string_append(r, (const char *)&c, 1);
    return string_byte(r, c);
}

static bool grammar_string_end(struct frame_reader *r, unsigned char c, size_t at) {
    if (!string_byte(r, c))
        return false;
    if (count_depth(r) == 1)
        frame_string_end(r, at + 1);
    return true;
}

static bool grammar_byte(struct frame_reader *r, uint16_t step, unsigned char c, size_t at) {
    if (step & LEXER_ENDS) {
        if (r->lexer == LEXER_WORD && *r->word)
            return false;
        if (count_depth(r) == 1)
            frame_value_end(r, at);
    }
    switch ((enum lexer_act)LEXER_ACT(step)) {
    case LEXER_ACT_ERROR:
        return false;
    case LEXER_ACT_SKIP:
        return true;
    case LEXER_ACT_STRING_BYTE:
        return grammar_string_byte(r, c);
    case LEXER_ACT_STRING_END:
        return grammar_string_end(r, c, at);
    case LEXER_ACT_WORD_BYTE:
        return (unsigned char)*r->word++ == c;
    default:
        return grammar_token(r, LEXER_ACT(step), c, at);
    }
}

/* ---- scan ---- */

/* Return: what the next byte is part of; FRAME_PART when it begins an object */
static enum frame_scan client_outside_kind(const struct frame_reader *r, unsigned char c) {
    uint16_t step = lexer_step(r->lexer, c);

    if (count_is_open(r))
        return FRAME_RAW;
    if (LEXER_ACT(step) == LEXER_ACT_OPEN_OBJECT)
        return FRAME_PART;
    return LEXER_STATE(step) == LEXER_START && LEXER_ACT(step) == LEXER_ACT_SKIP ? FRAME_BLANK
                                                                                 : FRAME_RAW;
}

static enum frame_scan client_outside(struct frame_reader *r, const char *text, size_t n,
                                      size_t *ret_n) {
    enum frame_scan kind = client_outside_kind(r, (unsigned char)text[0]);
    size_t i = 0;

    do {
        count_byte(r, lexer_step(r->lexer, (unsigned char)text[i]), r->at + i);
        i++;
    } while (i < n && client_outside_kind(r, (unsigned char)text[i]) == kind);
    *ret_n = i;
    return kind;
}

/*
 * What most bytes are: white space between tokens, plain characters of a
 * string, digits.  They change nothing, and so need no look at the tables.
 * Return: how many there are
 */
static size_t client_skip_easy(struct frame_reader *r, const char *text, size_t n) {
    size_t i = 0;

    if (r->lexer == LEXER_START) {
        while (i < n && frame_is_blank((unsigned char)text[i]))
            i++;
    } else if (r->lexer == LEXER_INTEGER) {
        while (i < n && text[i] >= '0' && text[i] <= '9')
            i++;
    } else if (string_is_plain(r)) {
        i = string_skip_plain(text, n);
        frame_string_append(r, text, i);
    }
    return i;
}

/*
 * A string that is whole and plain, as nearly all are, in one step.
 * Return: how many bytes it has; 0: there is none, or it is not allowed here;
 * *ret_is_valid: as of count_byte()
 */
static size_t client_string(struct frame_reader *r, const char *text, size_t n, size_t at,
                            bool *ret_is_valid) {
    size_t n_plain;

    if (r->lexer != LEXER_START || *text != '"' ||
        expect_table[r->expect][LEXER_ACT_STRING] == EXPECT_NOTHING)
        return 0;
    n_plain = string_skip_plain(text + 1, n - 1);
    if (n_plain + 2 > n || text[n_plain + 1] != '"')
        return 0;
    grammar_token(r, LEXER_ACT_STRING, '"', at);
    frame_string_append(r, text + 1, n_plain);
    if (count_depth(r) == 1)
        frame_string_end(r, at + n_plain + 2);
    r->token_at = at;
    *ret_is_valid = count_token(r, n_plain + 2);
    return n_plain + 2;
}

/* one byte.  Return: as of count_byte() */
static inline bool client_byte(struct frame_reader *r, unsigned char c, size_t at) {
    uint16_t step = lexer_step(r->lexer, c);
    bool is_valid = grammar_byte(r, step, c, at);

    return count_byte(r, step, at) && is_valid;
}

static enum frame_scan client_inside(struct frame_reader *r, const char *text, size_t n,
                                     size_t *ret_n) {
    enum frame_scan kind = FRAME_PART;
    size_t i = 0;

    while (kind == FRAME_PART) {
        size_t n_string;
        bool is_valid;

        i += client_skip_easy(r, text + i, n - i);
        if (i == n)
            break;
        n_string = client_string(r, text + i, n - i, r->at + i, &is_valid);
        if (n_string == 0)
            is_valid = client_byte(r, (unsigned char)text[i], r->at + i);
        i += n_string > 0 ? n_string : 1;
        if (!is_valid)
            kind = FRAME_BROKEN;
        else if (!count_is_open(r))
            kind = FRAME_OBJECT;
    }
    *ret_n = i;
    return kind;
}

static enum frame_scan client_piece(struct frame_reader *r, const char *text, size_t n,
                                    size_t *ret_n) {
    enum frame_scan kind;

    if (!r->is_inside) {
        if (client_outside_kind(r, (unsigned char)text[0]) != FRAME_PART) {
            kind = client_outside(r, text, n, ret_n);
            r->at += *ret_n;
            return kind;
        }
        frame_object_begin(r, r->at);
        r->expect = EXPECT_OBJECT;
        r->lexer = LEXER_START; /* a number or word before it ended here, and is no part of it */
    }
    kind = client_inside(r, text, n, ret_n);
    r->at += *ret_n;
    r->frame.n_bytes = r->at - r->object_at;
    if (kind != FRAME_PART)
        frame_object_end(r);
    return kind;
}

/* QEMU gives up a token that gets too long at that very byte, in the midst of it */
static bool client_drop_token(struct frame_reader *r) {
    if (!lexer_is_in_token(r->lexer) || r->at - r->token_at <= FRAME_MAX_TOKEN_BYTES)
        return false;
    r->lexer = LEXER_START;
    count_reset(r);
    return true;
}

enum frame_scan frame_client_scan(struct frame_reader *r, const char *text, size_t n,
                                  size_t *ret_n) {
    enum frame_scan kind;
    size_t i = 0;

    /* a piece ends where the token could get too long, so that no byte has to be asked */
    do {
        size_t n_token = lexer_is_in_token(r->lexer) ? r->at - r->token_at : 0;
        size_t n_piece = size_min(n - i, FRAME_MAX_TOKEN_BYTES + 1 - n_token);

        kind = client_piece(r, text + i, n_piece, &n_piece);
        i += n_piece;
        if (client_drop_token(r) && kind == FRAME_PART) {
            frame_object_end(r);
            kind = FRAME_BROKEN;
        }
    } while (kind == FRAME_PART && i < n);
    *ret_n = i;
    return kind;
}
