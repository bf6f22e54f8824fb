#include "io/address.h"

#include <string.h>

int address_from_path(const char *path, struct sockaddr_un *ret_address) {
    size_t n = strlen(path);

    if (n == 0)
        return ADDRESS_E_EMPTY; /* the kernel would take it for a name of its own choice */
    if (n > ADDRESS_MAX_PATH_BYTES)
        return ADDRESS_E_TOO_LONG;
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret_address->sun_path, path, n);
    return 0;
}
