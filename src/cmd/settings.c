#include "cmd/settings.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "cmd/options.h"
#include "cmd/rules.h"

#define CONFIG_FOLDER "/etc/qmp-shim"
#define SOCKET_FOLDER "/run/qmp-shim"

struct settings {
    const struct command *command;
    struct conf *conf;
    const char *config, *instance; /* as given; NULL: not */
};

static int settings_usage(const struct settings *s, const char *message) {
    fprintf(stderr, "qmp-shim %s: %s; see \"qmp-shim help %s\"\n", s->command->name, message,
            s->command->name);
    return SETTINGS_E_USAGE;
}

/* ---- the command line ---- */

static const char *option_name(const struct command *c, int value) {
    const struct command_option *o = c->options;

    while (o->value != value)
        o++;
    assert(o->name); /* options_next() gives the table's values only */
    return o->name;
}

static int settings_option(struct settings *s, const char *name, const char *value) {
    struct conf_advice advice;
    int r;

    if (strcmp(name, SETTINGS_CONFIG) == 0) {
        s->config = value;
        return 0;
    }
    if (strcmp(name, SETTINGS_INSTANCE) == 0) {
        s->instance = value;
        return 0;
    }
    r = conf_set(s->conf, name, value, &advice);
    if (r <= 0)
        return r;
    fprintf(stderr, "qmp-shim %s: --%s cannot be \"%s\"; %s\n", s->command->name, name, value,
            advice.text);
    return SETTINGS_E_USAGE;
}

static int settings_parse(struct settings *s, int argc, char **argv) {
    int option, r;

    optind = 0; /* from the start, even when this is not the first time */
    while ((option = options_next(s->command, argc, argv)) >= 0) {
        r = settings_option(s, option_name(s->command, option), optarg);
        if (r)
            return r;
    }
    if (option == OPTIONS_HELP)
        return SETTINGS_E_HELP;
    if (option == OPTIONS_WRONG || options_no_arguments(s->command, argc, argv))
        return SETTINGS_E_USAGE;
    if (s->instance && (!*s->instance || strchr(s->instance, '/')))
        return settings_usage(s, "--instance must be a name, without slashes");
    return 0;
}

/* ---- the file ---- */

static int settings_print(const struct diag_set *diags) {
    struct buffer b = BUFFER_INIT;
    int r;

    r = diag_set_print(diags, &b);
    if (r == 0)
        fwrite(b.data, 1, b.n, stderr);
    buffer_deinit(&b);
    return r;
}

static int settings_load_text(struct settings *s, const struct diag_source *source) {
    struct diag_set diags;
    int r, printed;

    diag_set_init(&diags);
    r = conf_load(s->conf, source, &diags);
    printed = diags.first ? settings_print(&diags) : 0;
    diag_set_deinit(&diags);
    if (r > 0)
        return SETTINGS_E_FAILED;
    return r < 0 ? r : printed;
}

static int settings_load(struct settings *s, const char *path) {
    struct buffer text = BUFFER_INIT;
    int r;

    r = rules_check_writers(path);
    if (r == 0)
        r = rules_read_file(path, &text);
    if (r == 0)
        r = settings_load_text(
            s, &(struct diag_source){.path = path, .text = text.data, .n_text = text.n});
    else if (r > 0)
        r = SETTINGS_E_FAILED;
    buffer_deinit(&text);
    return r;
}

/* ---- an instance ---- */

/* the service manager tells where its folders are */
static const char *folder(const char *variable, const char *otherwise) {
    const char *text = getenv(variable);

    return text && *text ? text : otherwise;
}

/* its own file, if there is one */
static int instance_load(struct settings *s) {
    char *path;
    int r;

    if (asprintf(&path, "%s/%s.conf", folder("CONFIGURATION_DIRECTORY", CONFIG_FOLDER),
                 s->instance) < 0)
        return -ENOMEM;
    r = access(path, F_OK) < 0 && errno == ENOENT ? 0 : settings_load(s, path);
    free(path);
    return r;
}

static int instance_default(struct settings *s, const char *key, const char *suffix) {
    char *path;
    int r;

    if (asprintf(&path, SOCKET_FOLDER "/%s%s", s->instance, suffix) < 0)
        return -ENOMEM;
    r = conf_default(s->conf, key, path);
    free(path);
    return r;
}

/* The folder is the instance's own, and there only when a service manager made it. */
static int instance_default_control(struct settings *s) {
    const char *own = getenv("RUNTIME_DIRECTORY");
    char *path;
    int r;

    if (!own || !*own)
        return 0;
    if (asprintf(&path, "%s/control", own) < 0)
        return -ENOMEM;
    r = conf_default(s->conf, "control", path);
    free(path);
    return r;
}

static int instance_defaults(struct settings *s) {
    int r = s->conf->dir ? 0 : instance_default(s, "listen", ".sock");

    if (r == 0 && !s->conf->dir)
        r = instance_default(s, "connect", ".qemu");
    return r == 0 ? instance_default_control(s) : r;
}

/* ---- the whole ---- */

static int settings_put_together(struct settings *s, int argc, char **argv) {
    const char *fault;
    int r;

    r = settings_parse(s, argc, argv);
    if (r == 0 && s->config)
        r = settings_load(s, s->config);
    else if (r == 0 && s->instance)
        r = instance_load(s);
    if (r == 0 && s->instance)
        r = instance_defaults(s);
    if (r)
        return r;
    fault = conf_check(s->conf);
    return fault ? settings_usage(s, fault) : 0;
}

int settings_read(const struct command *c, int argc, char **argv, struct conf *ret_conf) {
    struct settings s = {.command = c, .conf = ret_conf};
    int r;

    *ret_conf = (struct conf)CONF_INIT;
    r = settings_put_together(&s, argc, argv);
    if (r)
        conf_deinit(ret_conf);
    return r;
}
