#include "io/request.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "json/reader.h"
#include "json/writer.h"

enum { MAX_MIB = 1 << 20 };

void request_refuse(struct buffer *answer, const char *why) {
    buffer_append_string(answer, "{\"error\": ");
    json_write_string(answer, why, strlen(why));
    buffer_append_string(answer, "}\n");
}

static bool is_trusted(int fd) {
    struct ucred peer;
    socklen_t n = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static const char *explain(int outcome) {
    switch (outcome) {
    case RECORDING_E_ALLOWED:
        return "it is not known what is secret: the list of secrets could not be read";
    case RECORDING_E_ON:
        return "there is a trace file already; stop that first";
    case RECORDING_E_OFF:
        return "nothing is written to a trace file";
    case -EEXIST:
        return "that is no plain file";
    default:
        return strerror(-outcome);
    }
}

static void answer_outcome(struct buffer *answer, int outcome, const char *path) {
    if (outcome) {
        request_refuse(answer, explain(outcome));
        return;
    }
    buffer_append_string(answer, "{\"file\": ");
    json_write_string(answer, path, strlen(path));
    buffer_append_string(answer, "}\n");
}

/* Return: MiB as bytes; @otherwise when it is not said; UINT64_MAX when it makes no sense */
static uint64_t max_bytes(const struct json *mib, uint64_t otherwise) {
    uint64_t n = 0;

    if (!mib)
        return otherwise;
    if (mib->type != JSON_NUMBER)
        return UINT64_MAX;
    for (size_t i = 0; i < mib->n_text; i++) {
        if (mib->text[i] < '0' || mib->text[i] > '9' || n > MAX_MIB)
            return UINT64_MAX;
        n = n * 10 + (uint64_t)(mib->text[i] - '0');
    }
    return n << 20;
}

static void start(struct recording *recording, const struct json *root, struct buffer *answer) {
    const struct json *file = json_member(root, "file");
    uint64_t n_max = max_bytes(json_member(root, "mib"), recording->default_max_bytes);
    _cleanup_(freep) char *path = NULL;

    if (file && file->type == JSON_STRING && !memchr(file->string, '\0', file->n_string))
        path = strndup(file->string, file->n_string);
    else if (!file && recording->default_path)
        path = strdup(recording->default_path);
    if (!path && !file)
        request_refuse(answer, "it has no place of its own for a trace: name a file");
    else if (!path || *path != '/')
        request_refuse(answer, "the file must be named by its whole path");
    else if (n_max == UINT64_MAX)
        request_refuse(answer, "the size is no number of MiB");
    else
        answer_outcome(answer, recording_start(recording, path, n_max), path);
}

static void stop(struct recording *recording, struct buffer *answer) {
    _cleanup_(freep) char *path = recording->file.path ? strdup(recording->file.path) : NULL;
    int r = recording_stop(recording);

    answer_outcome(answer, r == 0 && !path ? -ENOMEM : r, path);
}

static int act(struct recording *recording, const struct json *root, struct buffer *answer) {
    const struct json *what = json_member(root, "do");

    if (what && json_is_string(what, "trace-follow"))
        return REQUEST_E_FOLLOW;
    if (what && json_is_string(what, "trace-start"))
        start(recording, root, answer);
    else if (what && json_is_string(what, "trace-stop"))
        stop(recording, answer);
    else
        request_refuse(answer, "this shim does not know that request");
    return 0;
}

static bool is_blank(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!memchr(" \t\r\n", text[i], 4))
            return false;
    return true;
}

int request_do(struct recording *recording, int fd, const char *text, size_t n,
               struct buffer *ret_answer) {
    _cleanup_(arena_deinit) struct arena arena = ARENA_INIT;
    const struct json *what;
    struct json *root;

    if (is_blank(text, n))
        return REQUEST_E_STATUS;
    if (json_read(&arena, text, n, false, &root, NULL)) {
        request_refuse(ret_answer, "that is no request: one JSON object on a line");
        return 0;
    }
    what = json_member(root, "do");
    if (what && json_is_string(what, "status"))
        return REQUEST_E_STATUS;
    if (!is_trusted(fd)) {
        request_refuse(ret_answer, "only root and the user of the shim may ask for that");
        return 0;
    }
    return act(recording, root, ret_answer);
}
