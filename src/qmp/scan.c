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

static size_t plain_nested(struct scan *s, const char *text, size_t n) {
    static const uint8_t special[256] = {['"'] = 1, ['{'] = 2, ['['] = 2, ['}'] = 3, [']'] = 3};
    size_t i = 0;

    while (i < n && s->depth > 0) {
        if (s->is_in_string)
            i += plain_skip_string(s, text + i, n - i);
        while (i < n && !special[(unsigned char)text[i]])
            i++;
        if (i == n)
            break;
        switch (special[(unsigned char)text[i++]]) {
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
    return i;
}

static bool plain_is_there(void) {
    return true;
}

/* ---- 64 bytes at a time ---- */

#if SCAN_X86

enum { SCAN_BLOCK = 64 };

/* a bit for each byte of a block, the first one's is the lowest */
struct block {
    uint64_t quotes, backslashes, opens, closes;
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

/*
 * What is left of a text, less than a block, is made one with blanks.  Only
 * the two bits of state are wrong afterwards if it ends within a string, and
 * so those are taken from where it ends.
 *
 * A macro of functions, because those that calculate must be compiled for
 * the same machine as those that load.
 */
#define SCAN_DEFINE_WAY(way, target)                                                               \
    target static inline size_t way##_block(struct scan *s, const char *text, size_t n) {          \
        struct block b = way##_load(text);                                                         \
        uint64_t inside, escaped = 0, opens, closes;                                               \
        bool is_escaped = s->is_escaped;                                                           \
        size_t n_closes;                                                                           \
                                                                                                   \
        if (b.backslashes | is_escaped)                                                            \
            escaped = block_escaped(b.backslashes, &is_escaped);                                   \
        inside = way##_prefix_xor(b.quotes & ~escaped) ^ (0 - (uint64_t)s->is_in_string);          \
        if (b.backslashes & ~inside) /* it takes nothing with it outside of strings: no JSON */    \
            return plain_nested(s, text, n);                                                       \
        opens = b.opens & ~inside;                                                                 \
        closes = b.closes & ~inside;                                                               \
        n_closes = (size_t)__builtin_popcountll(closes);                                           \
        if (s->depth <= n_closes) {                                                                \
            size_t n_end = block_end(s->depth, opens, closes);                                     \
                                                                                                   \
            if (n_end > 0) {                                                                       \
                *s = (struct scan){.depth = 0};                                                    \
                return n_end;                                                                      \
            }                                                                                      \
        }                                                                                          \
        s->depth = s->depth + (size_t)__builtin_popcountll(opens) - n_closes;                      \
        s->is_in_string = inside >> (n - 1) & 1;                                                   \
        s->is_escaped = n < SCAN_BLOCK ? escaped >> n & 1 : is_escaped;                            \
        return n;                                                                                  \
    }                                                                                              \
                                                                                                   \
    target static size_t way##_nested(struct scan *s, const char *text, size_t n) {                \
        char rest[SCAN_BLOCK];                                                                     \
        struct scan state = *s; /* in registers */                                                 \
        size_t i = 0;                                                                              \
                                                                                                   \
        while (n - i >= SCAN_BLOCK && state.depth > 0)                                             \
            i += way##_block(&state, text + i, SCAN_BLOCK);                                        \
        if (i < n && state.depth > 0) {                                                            \
            memset(rest, ' ', sizeof(rest));                                                       \
            memcpy(rest, text + i, n - i);                                                         \
            i += way##_block(&state, rest, n - i);                                                 \
        }                                                                                          \
        *s = state;                                                                                \
        return i;                                                                                  \
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

static bool sse2_is_there(void) {
    return true;
}

SCAN_DEFINE_WAY(sse2, )

/* AVX2, with the carry-less product of the bits and of all ones, which is their prefix XOR */

#define SCAN_AVX2 __attribute__((target("avx2,pclmul,popcnt,bmi,bmi2,lzcnt")))

SCAN_AVX2 static inline uint64_t avx2_equal(const __m256i v[2], char c) {
    __m256i all = _mm256_set1_epi8(c);

    return (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v[0], all)) |
           (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v[1], all)) << 32;
}

SCAN_AVX2 static inline struct block avx2_load(const char *text) {
    __m256i bit = _mm256_set1_epi8(0x20);
    __m256i v[2], lower[2];
    struct block b;

    for (size_t i = 0; i < 2; i++) {
        v[i] = _mm256_loadu_si256((const __m256i *)(text + 32 * i));
        lower[i] = _mm256_or_si256(v[i], bit);
    }
    b.quotes = avx2_equal(v, '"');
    b.backslashes = avx2_equal(v, '\\');
    b.opens = avx2_equal(lower, '{');
    b.closes = avx2_equal(lower, '}');
    return b;
}

SCAN_AVX2 static inline uint64_t avx2_prefix_xor(uint64_t bits) {
    __m128i product = _mm_clmulepi64_si128(_mm_set_epi64x(0, (int64_t)bits), _mm_set1_epi8(-1), 0);

    return (uint64_t)_mm_cvtsi128_si64(product);
}

static bool avx2_is_there(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("pclmul") &&
           __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
}

SCAN_DEFINE_WAY(avx2, SCAN_AVX2)

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
    {"avx2", avx2_is_there, avx2_nested},
    {"sse2", sse2_is_there, sse2_nested},
#endif
    {"plain", plain_is_there, plain_nested},
    {.name = NULL},
};

/* asked anew each time: it is a look at a word, and nothing has to be kept */
size_t scan_nested(struct scan *s, const char *text, size_t n) {
    const struct scan_way *way = scan_ways;

#if SCAN_X86
    if (avx2_is_there())
        return avx2_nested(s, text, n);
    return sse2_nested(s, text, n);
#endif
    return way->nested(s, text, n);
}
