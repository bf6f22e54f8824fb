/*
 * Skipping, a byte at a time (the reference) or 64 at a time.  The fast ways
 * make of each block of 64 bytes a bit map of its quotes, one of its opening
 * brackets and one of its closing ones, and calculate with those: a prefix
 * XOR over the quotes says what is inside of strings, and the numbers of
 * brackets say whether the end can be in the block at all.
 *
 * The ways differ in how they come by the bit maps, and in nothing else.
 */
#include "qmp/scan.h"

#include <stdint.h>
#include <string.h>

#include "base/util.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define SCAN_X86 1
#include <immintrin.h>
#else
#define SCAN_X86 0
#endif

/* ---- a byte at a time ---- */

static size_t plain_string(const char *text, size_t n) {
    size_t i = 0;

    while (i < n && text[i] != '"' && text[i] != '\\')
        i++;
    return i;
}

/* Return: bytes up to the closing quote, with it; all of them when there is none */
static size_t plain_skip_string(struct scan *s, const char *text, size_t n) {
    size_t i = s->is_escaped ? 1 : 0;

    s->is_escaped = false;
    while (i < n) {
        i += plain_string(text + i, n - i);
        if (i == n)
            break;
        if (text[i++] == '"') {
            s->is_in_string = false;
            break;
        }
        if (i == n)
            s->is_escaped = true;
        i++;
    }
    return size_min(i, n);
}

static size_t plain_nested(struct scan *s, const char *text, size_t at, size_t n) {
    static const uint8_t special[256] = {['"'] = 1, ['{'] = 2, ['['] = 2, ['}'] = 3, [']'] = 3};

    while (at < n && s->depth > 0) {
        if (s->is_in_string)
            at += plain_skip_string(s, text + at, n - at);
        while (at < n && !special[(unsigned char)text[at]])
            at++;
        if (at == n)
            break;
        switch (special[(unsigned char)text[at++]]) {
        case 1:
            s->is_in_string = true;
            break;
        case 2:
            s->depth++;
            break;
        default:
            s->depth--;
            break;
        }
    }
    return at;
}

static bool plain_is_there(void) {
    return true;
}

/* ---- 64 bytes at a time ---- */

#if SCAN_X86

/* a bit for each byte of a block, the first one's is the lowest */
struct block {
    uint64_t quotes, backslashes, opens, closes;
};

/* struct scan, for those who calculate */
struct state {
    size_t depth;
    uint64_t inside; /* all ones in a string */
    bool is_escaped;
};

/*
 * The bytes that a backslash takes with it.  Backslashes are rare, so this is
 * simple instead of fast.
 */
static inline uint64_t block_escaped(uint64_t backslashes, bool *is_escaped) {
    uint64_t escaped = *is_escaped;

    *is_escaped = false;
    backslashes &= ~escaped;
    while (backslashes) {
        uint64_t bit = backslashes & -backslashes;

        escaped |= bit << 1;
        *is_escaped = bit >> 63;
        backslashes &= ~(bit | bit << 1);
    }
    return escaped;
}

/* Return: bytes of the block up to the bracket that ends it all, with it; 0 when it is not in there */
static inline size_t block_end(size_t depth, uint64_t opens, uint64_t closes) {
    size_t n_closed = 0;

    while (closes) {
        uint64_t below = (closes & -closes) - 1;

        n_closed++;
        if (depth + (size_t)__builtin_popcountll(opens & below) == n_closed)
            return (size_t)__builtin_ctzll(closes) + 1;
        closes &= closes - 1;
    }
    return 0;
}

/* of a block, those outside of strings */
struct brackets {
    uint64_t opens, all;
    size_t n_opens, n;
};

/* a macro, because the machine it is compiled for is the caller's */
#define brackets_outside(opening, closing, inside)                                                 \
    ({                                                                                             \
        uint64_t opens_ = (opening) & ~(inside), all_ = ((opening) | (closing)) & ~(inside);       \
                                                                                                   \
        (struct brackets){opens_, all_, (size_t)__builtin_popcountll(opens_),                      \
                          (size_t)__builtin_popcountll(all_)};                                     \
    })

/* the first @n bytes of a block that has no more: behind them is nothing */
static inline struct block block_first(struct block b, size_t n) {
    uint64_t bits = ((uint64_t)1 << n) - 1;

    return (struct block){b.quotes & bits, b.backslashes & bits, b.opens & bits, b.closes & bits};
}

/* the last @n bytes of a block, as if they were the first */
static inline struct block block_last(struct block b, size_t n) {
    size_t by = SCAN_BLOCK - n;

    return (struct block){b.quotes >> by, b.backslashes >> by, b.opens >> by, b.closes >> by};
}

/*
 * What is left of a text, less than a block, is read with what stands before
 * it, if there is enough of that.
 *
 * A backslash outside of strings takes nothing with it, and the text is no
 * JSON: a block with one is not read (0), and the rest is read plainly.
 *
 * A macro of functions, because those that calculate must be compiled for
 * the same machine as those that load.
 */
#define SCAN_DEFINE_WAY(way, target)                                                                        \
    target static inline size_t way##_block(struct state *s, struct block b, size_t n) {                    \
        bool is_escaped = s->is_escaped;                                                                    \
        uint64_t inside, escaped;                                                                           \
        struct brackets k;                                                                                  \
        size_t n_end;                                                                                       \
                                                                                                            \
        if (__builtin_expect(b.backslashes != 0 || is_escaped, false)) {                                    \
            escaped = block_escaped(b.backslashes, &is_escaped);                                            \
            b.quotes &= ~escaped;                                                                           \
            is_escaped = n < SCAN_BLOCK ? escaped >> n & 1 : is_escaped;                                    \
        }                                                                                                   \
        inside = way##_prefix_xor(b.quotes) ^ s->inside;                                                    \
        if (__builtin_expect((b.backslashes & ~inside) != 0, false))                                        \
            return 0;                                                                                       \
        k = brackets_outside(b.opens, b.closes, inside);                                                    \
        n_end = block_end(s->depth, b.opens & ~inside, b.closes & ~inside);                                 \
        if (n_end > 0) {                                                                                    \
            *s = (struct state){.depth = 0};                                                                \
            return n_end;                                                                                   \
        }                                                                                                   \
        s->depth += 2 * k.n_opens - k.n;                                                                    \
        s->inside = 0 - (inside >> 63);                                                                     \
        s->is_escaped = is_escaped;                                                                         \
        return n;                                                                                           \
    }                                                                                                       \
                                                                                                            \
    target static inline struct block way##_rest(const char *text, size_t at, size_t n) {                   \
        char rest[SCAN_BLOCK];                                                                              \
                                                                                                            \
        if (n >= SCAN_BLOCK)                                                                                \
            return block_last(way##_load(text + n - SCAN_BLOCK), n - at);                                   \
        memcpy(rest, text + at, n - at);                                                                    \
        return block_first(way##_load(rest), n - at);                                                       \
    }                                                                                                       \
                                                                                                            \
    /* whole blocks as most are: without a backslash, and not the one with the end.  Return: behind them */ \
    target static inline size_t way##_usual(struct state *state, const char *text, size_t at,               \
                                            size_t n) {                                                     \
        struct state s = *state;                                                                            \
                                                                                                            \
        for (; n - at >= SCAN_BLOCK; at += SCAN_BLOCK) {                                                    \
            struct block b = way##_load(text + at);                                                         \
            uint64_t inside = way##_prefix_xor(b.quotes) ^ s.inside;                                        \
            struct brackets k = brackets_outside(b.opens, b.closes, inside);                                \
                                                                                                            \
            if (__builtin_expect(b.backslashes != 0, false) ||                                              \
                (__builtin_expect((int64_t)s.depth <= way##_lowest(&k), false) &&                           \
                 block_end(s.depth, k.opens, k.all ^ k.opens) > 0))                                         \
                break;                                                                                      \
            s.depth += 2 * k.n_opens - k.n;                                                                 \
            s.inside = 0 - (inside >> 63);                                                                  \
        }                                                                                                   \
        *state = s;                                                                                         \
        return at;                                                                                          \
    }                                                                                                       \
                                                                                                            \
    target static size_t way##_nested(struct scan *scan, const char *text, size_t at, size_t n) {           \
        struct state s = {scan->depth, 0 - (uint64_t)scan->is_in_string, scan->is_escaped};                 \
        size_t n_step = SIZE_MAX;                                                                           \
                                                                                                            \
        while (n - at >= SCAN_BLOCK && s.depth > 0 && n_step > 0) {                                         \
            if (!s.is_escaped)                                                                              \
                at = way##_usual(&s, text, at, n);                                                          \
            if (n - at >= SCAN_BLOCK)                                                                       \
                at += n_step = way##_block(&s, way##_load(text + at), SCAN_BLOCK);                          \
        }                                                                                                   \
        if (at < n && s.depth > 0 && n_step > 0)                                                            \
            at += n_step = way##_block(&s, way##_rest(text, at, n), n - at);                                \
        *scan = (struct scan){s.depth, s.inside & 1, s.is_escaped};                                         \
        return n_step > 0 ? at : plain_nested(scan, text, at, n);                                           \
    }

/* SSE2: every x86-64 has it */

static inline uint64_t sse2_bits(__m128i a, __m128i b, __m128i c, __m128i d) {
    return (uint64_t)(uint32_t)_mm_movemask_epi8(a) |
           (uint64_t)(uint32_t)_mm_movemask_epi8(b) << 16 |
           (uint64_t)(uint32_t)_mm_movemask_epi8(c) << 32 |
           (uint64_t)(uint32_t)_mm_movemask_epi8(d) << 48;
}

static inline uint64_t sse2_equal(const __m128i v[4], char c) {
    __m128i all = _mm_set1_epi8(c);

    return sse2_bits(_mm_cmpeq_epi8(v[0], all), _mm_cmpeq_epi8(v[1], all),
                     _mm_cmpeq_epi8(v[2], all), _mm_cmpeq_epi8(v[3], all));
}

static inline struct block sse2_load(const char *text) {
    __m128i bit = _mm_set1_epi8(0x20); /* which [ and {, ] and } differ by */
    __m128i v[4], lower[4];
    struct block b;

    for (size_t i = 0; i < 4; i++) {
        v[i] = _mm_loadu_si128((const __m128i *)(text + 16 * i));
        lower[i] = _mm_or_si128(v[i], bit);
    }
    b.quotes = sse2_equal(v, '"');
    b.backslashes = sse2_equal(v, '\\');
    b.opens = sse2_equal(lower, '{');
    b.closes = sse2_equal(lower, '}');
    return b;
}

/* bit i is the XOR of all bits up to i */
static inline uint64_t sse2_prefix_xor(uint64_t bits) {
    for (unsigned int shift = 1; shift < 64; shift *= 2)
        bits ^= bits << shift;
    return bits;
}

static inline int64_t sse2_lowest(const struct brackets *k) {
    return (int64_t)(k->n - k->n_opens);
}

static bool sse2_is_there(void) {
    return true;
}

SCAN_DEFINE_WAY(sse2, )

/*
 * BMI2: whether the end is in the block is a question that the number of its
 * brackets leaves open for every third block, at random, and a processor that
 * guesses wrong has lost more than the answer costs.  So put the brackets
 * together, a bit each, and look up how deep they go down.
 */

#define SCAN_BMI2 __attribute__((target("pclmul,popcnt,bmi,bmi2")))

/*
 * By up to seven brackets, the first is the lowest bit, 1 opens, and a 1 above
 * the last: how far they go down at most; less than 0: above.
 */
enum { LOWEST_BRACKETS = 7 };
static const int8_t lowest_table[1 << (LOWEST_BRACKETS + 1)] = {
    0, -1, 1, -1, 2, 0,  1, -1, 3, 1,  1, -1, 2, 0,  1, -1, 4, 2,  2, 0,  2, 0,  1, -1, 3, 1,
    1, -1, 2, 0,  1, -1, 5, 3,  3, 1,  3, 1,  1, -1, 3, 1,  1, -1, 2, 0,  1, -1, 4, 2,  2, 0,
    2, 0,  1, -1, 3, 1,  1, -1, 2, 0,  1, -1, 6, 4,  4, 2,  4, 2,  2, 0,  4, 2,  2, 0,  2, 0,
    1, -1, 4, 2,  2, 0,  2, 0,  1, -1, 3, 1,  1, -1, 2, 0,  1, -1, 5, 3,  3, 1,  3, 1,  1, -1,
    3, 1,  1, -1, 2, 0,  1, -1, 4, 2,  2, 0,  2, 0,  1, -1, 3, 1,  1, -1, 2, 0,  1, -1, 7, 5,
    5, 3,  5, 3,  3, 1,  5, 3,  3, 1,  3, 1,  1, -1, 5, 3,  3, 1,  3, 1,  1, -1, 3, 1,  1, -1,
    2, 0,  1, -1, 5, 3,  3, 1,  3, 1,  1, -1, 3, 1,  1, -1, 2, 0,  1, -1, 4, 2,  2, 0,  2, 0,
    1, -1, 3, 1,  1, -1, 2, 0,  1, -1, 6, 4,  4, 2,  4, 2,  2, 0,  4, 2,  2, 0,  2, 0,  1, -1,
    4, 2,  2, 0,  2, 0,  1, -1, 3, 1,  1, -1, 2, 0,  1, -1, 5, 3,  3, 1,  3, 1,  1, -1, 3, 1,
    1, -1, 2, 0,  1, -1, 4, 2,  2, 0,  2, 0,  1, -1, 3, 1,  1, -1, 2, 0,  1, -1,
};

SCAN_BMI2 static inline int64_t bmi2_lowest(const struct brackets *k) {
    uint64_t order = _pext_u64(k->opens, k->all);

    if (__builtin_expect(k->n > LOWEST_BRACKETS, false))
        return (int64_t)(k->n - k->n_opens);
    return lowest_table[order | (uint64_t)1 << k->n];
}

/* the carry-less product of the bits and of all ones is their prefix XOR */
SCAN_BMI2 static inline uint64_t bmi2_prefix_xor(uint64_t bits) {
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)bits), _mm_set1_epi8(-1), 0);

    return (uint64_t)_mm_cvtsi128_si64(product);
}

/* AVX2 */

#define SCAN_AVX2 __attribute__((target("avx2,pclmul,popcnt,bmi,bmi2")))

SCAN_AVX2 static inline uint64_t avx2_bits(__m256i a, __m256i b) {
    return (uint64_t)(uint32_t)_mm256_movemask_epi8(a) | (uint64_t)(uint32_t)_mm256_movemask_epi8(b)
                                                             << 32;
}

SCAN_AVX2 static inline struct block avx2_load(const char *text) {
    __m256i bit = _mm256_set1_epi8(0x20), quote = _mm256_set1_epi8('"');
    __m256i backslash = _mm256_set1_epi8('\\'), open = _mm256_set1_epi8('{');
    __m256i close = _mm256_set1_epi8('}');
    __m256i a = _mm256_loadu_si256((const __m256i *)text);
    __m256i b = _mm256_loadu_si256((const __m256i *)(text + 32));
    __m256i a_lower = _mm256_or_si256(a, bit), b_lower = _mm256_or_si256(b, bit);

    return (struct block){
        avx2_bits(_mm256_cmpeq_epi8(a, quote), _mm256_cmpeq_epi8(b, quote)),
        avx2_bits(_mm256_cmpeq_epi8(a, backslash), _mm256_cmpeq_epi8(b, backslash)),
        avx2_bits(_mm256_cmpeq_epi8(a_lower, open), _mm256_cmpeq_epi8(b_lower, open)),
        avx2_bits(_mm256_cmpeq_epi8(a_lower, close), _mm256_cmpeq_epi8(b_lower, close)),
    };
}

#define avx2_prefix_xor bmi2_prefix_xor
#define avx2_lowest bmi2_lowest

static bool avx2_is_there(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("pclmul") &&
           __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
}

SCAN_DEFINE_WAY(avx2, SCAN_AVX2)

/* AVX-512, which compares to bits at once; those of the first generation, slowed down by its use, are left out */

#define SCAN_AVX512 __attribute__((target("avx512bw,avx512vbmi2,pclmul,popcnt,bmi,bmi2")))

SCAN_AVX512 static inline struct block avx512_load(const char *text) {
    __m512i v = _mm512_loadu_si512(text);
    __m512i lower = _mm512_or_si512(v, _mm512_set1_epi8(0x20));

    return (struct block){
        _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8('"')),
        _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8('\\')),
        _mm512_cmpeq_epi8_mask(lower, _mm512_set1_epi8('{')),
        _mm512_cmpeq_epi8_mask(lower, _mm512_set1_epi8('}')),
    };
}

#define avx512_prefix_xor bmi2_prefix_xor
#define avx512_lowest bmi2_lowest

static bool avx512_is_there(void) {
    return avx2_is_there() && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vbmi2");
}

SCAN_DEFINE_WAY(avx512, SCAN_AVX512)

size_t scan_string(const char *text, size_t n) {
    size_t i = 0;

    for (; n - i >= sizeof(__m128i); i += sizeof(__m128i)) {
        __m128i v = _mm_loadu_si128((const __m128i *)(text + i));
        __m128i found = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
                                     _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
        unsigned int bits = (unsigned int)_mm_movemask_epi8(found);

        if (bits)
            return i + (size_t)__builtin_ctz(bits);
    }
    return i + plain_string(text + i, n - i);
}

#else

size_t scan_string(const char *text, size_t n) {
    return plain_string(text, n);
}

#endif

/* ---- */

const struct scan_way scan_ways[] = {
#if SCAN_X86
    {"avx512", avx512_is_there, avx512_nested}, {"avx2", avx2_is_there, avx2_nested},
    {"sse2", sse2_is_there, sse2_nested},
#endif
    {"plain", plain_is_there, plain_nested},    {.name = NULL},
};

/* asked anew each time: it is a look at a word, and nothing has to be kept */
size_t scan_nested(struct scan *s, const char *text, size_t n) {
#if SCAN_X86
    if (avx512_is_there())
        return avx512_nested(s, text, 0, n);
    if (avx2_is_there())
        return avx2_nested(s, text, 0, n);
    return sse2_nested(s, text, 0, n);
#else
    return plain_nested(s, text, 0, n);
#endif
}
