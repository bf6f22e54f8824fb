#include "cmd/pager.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"

#define PAGER_DEFAULT "less"

static bool is_in_path(const char *name) {
    const char *path = getenv("PATH");
    bool is_found = false;
    size_t n;

    for (; path && *path && !is_found; path += n + (path[n] == ':')) {
        _cleanup_(freep) char *file = NULL;

        n = strcspn(path, ":");
        is_found = asprintf(&file, "%.*s/%s", (int)n, path, name) > 0 && access(file, X_OK) == 0;
    }
    return is_found;
}

/* Return: a command for the shell; NULL: none is wanted */
static const char *pager_command(void) {
    const char *command = getenv("QMP_SHIM_PAGER");

    if (!command)
        command = getenv("PAGER");
    if (!command)
        return is_in_path(PAGER_DEFAULT) ? PAGER_DEFAULT " -R" : NULL;
    return *command && strcmp(command, "cat") != 0 ? command : NULL;
}

/* in the child */
static void become(const char *command, int input) {
    dup2(input, STDIN_FILENO);
    setenv("LESS", "FRX", 0); /* a short text stays on the screen, colours are colours */
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

void pager_start(struct pager *p) {
    const char *command = isatty(STDOUT_FILENO) ? pager_command() : NULL;
    int ends[2];

    p->pid = 0;
    if (!command || pipe2(ends, O_CLOEXEC) < 0)
        return;
    fflush(stdout);
    p->pid = fork();
    if (p->pid == 0)
        become(command, ends[0]);
    if (p->pid > 0) {
        dup2(ends[1], STDOUT_FILENO);
        signal(SIGPIPE, SIG_IGN); /* to leave it before the end is no failure */
        signal(SIGINT, SIG_IGN);  /* the pager's business */
    } else {
        p->pid = 0;
    }
    close(ends[0]);
    close(ends[1]);
}

void pager_end(struct pager *p) {
    if (p->pid == 0)
        return;
    fclose(stdout); /* what it does not want is lost on purpose */
    while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    p->pid = 0;
}
