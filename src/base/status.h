/* status.h - making and passing on errors, and the one assertion.
 *
 *     rc = TRI_FAIL(err, TRI_E_FORMAT, "%" PRId64 " bytes, the header needs 8", n);   first seen
 *     TRI_TRY(parse(...));                                                           pass on
 *     tri_error_context(err, "safetensors %s", path);                               say what was
 * done
 *
 * Operating errors return a tri_status; TRI_ASSERT is for programmer errors and the only abort. */
#ifndef TRI_BASE_STATUS_H
#define TRI_BASE_STATUS_H

#include <inttypes.h>

#include "trireme/types.h"

/* Fills err (may be NULL) and returns status.  The macro repeats the status, so that the compiler
 * sees it is not zero. */
tri_status tri_fail(tri_error *err, tri_status status, const char *format, ...) TRI_PRINTF(3, 4);
#define TRI_FAIL(err, status, ...) (tri_fail((err), (status), __VA_ARGS__), (tri_status)(status))

/* Puts "what: " in front of the message.  Does nothing when err is NULL or holds no error. */
void tri_error_context(tri_error *err, const char *format, ...) TRI_PRINTF(2, 3);

/* The same with "what path: ", unless the message names the path or a file below it: an error in a
 * file, passed up by those who opened its model, says once where it is. */
void tri_error_path(tri_error *err, const char *what, const char *path);

/* TRI_FAIL with strerror(errno) after the text; status TRI_E_IO, or TRI_E_NOT_FOUND for ENOENT,
 * TRI_E_MEMORY for ENOMEM. */
tri_status tri_fail_errno(tri_error *err, const char *format, ...) TRI_PRINTF(2, 3);

#define TRI_TRY(call)                                                                              \
    do {                                                                                           \
        tri_status tri_try_rc = (call);                                                            \
        if (tri_try_rc) return tri_try_rc;                                                         \
    } while (0)

_Noreturn void tri_assert_failed(const char *expression, const char *file, int line);
#define TRI_ASSERT(expression)                                                                     \
    ((expression) ? (void)0 : tri_assert_failed(#expression, __FILE__, __LINE__))

#endif
