#include "rule/version.h"

enum { VERSION_MAX_PART = 99999 };

static int read_part(const char **text, const char *end, unsigned int *ret) {
    const char *start = *text;

    *ret = 0;
    for (; *text < end && **text >= '0' && **text <= '9'; ++*text) {
        *ret = *ret * 10 + (unsigned int)(**text - '0');
        if (*ret > VERSION_MAX_PART)
            return VERSION_E_INVALID;
    }
    return *text > start ? 0 : VERSION_E_INVALID;
}

int version_read(const char *text, size_t n, struct version *ret) {
    unsigned int part[3] = {0};
    const char *end = text + n;
    int r;

    for (size_t i = 0; i < 3; i++) {
        r = read_part(&text, end, &part[i]);
        if (r)
            return r;
        if (text == end || *text != '.')
            break;
        if (i < 2)
            text++;
    }
    if (text != end)
        return VERSION_E_INVALID;
    *ret = (struct version){part[0], part[1], part[2]};
    return 0;
}

static int member_number(const struct json *object, const char *key, unsigned int *ret) {
    const struct json *m = json_member(object, key);
    const char *text;

    if (!m || m->type != JSON_NUMBER)
        return VERSION_E_INVALID;
    text = m->text;
    return read_part(&text, m->text + m->n_text, ret);
}

int version_read_greeting(const struct json *greeting, struct version *ret) {
    const struct json *qemu =
        json_member(json_member(json_member(greeting, "QMP"), "version"), "qemu");
    struct version v = {0};

    if (!qemu)
        return VERSION_E_INVALID;
    if (qemu->type == JSON_STRING)
        return version_read(qemu->string, qemu->n_string, ret);
    if (member_number(qemu, "major", &v.major) || member_number(qemu, "minor", &v.minor) ||
        member_number(qemu, "micro", &v.micro))
        return VERSION_E_INVALID;
    *ret = v;
    return 0;
}

int version_compare(struct version a, struct version b) {
    if (a.major != b.major)
        return a.major < b.major ? -1 : 1;
    if (a.minor != b.minor)
        return a.minor < b.minor ? -1 : 1;
    return a.micro < b.micro ? -1 : a.micro > b.micro;
}
