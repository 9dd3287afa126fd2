/* types.h - what every public header shares: status, error, dtypes, tensor views.
 *
 * C17, usable from C++. */
#ifndef TRIREME_TYPES_H
#define TRIREME_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TRI_VERSION_MAJOR 0
#define TRI_VERSION_MINOR 1
#define TRI_VERSION_PATCH 0
#define TRI_VERSION_STRING "0.1.0"

#if defined(__GNUC__)
#    define TRI_API __attribute__((visibility("default")))
#    define TRI_PRINTF(format_index, first_arg)                                                    \
        __attribute__((format(printf, format_index, first_arg)))
#else
#    define TRI_API
#    define TRI_PRINTF(format_index, first_arg)
#endif

/* What went wrong, coarsely; tri_error.message has the particulars. */
typedef enum tri_status {
    TRI_OK = 0,
    TRI_E_ARGUMENT,    /* the caller passed something that cannot be */
    TRI_E_FORMAT,      /* a file or a message is malformed */
    TRI_E_IO,          /* the operating system refused */
    TRI_E_MEMORY,      /* out of memory */
    TRI_E_LIMIT,       /* well-formed, but over a limit; the message names it */
    TRI_E_UNSUPPORTED, /* well-formed, but not something this build does */
    TRI_E_NOT_FOUND,
    TRI_E_VERSION,  /* made for another version; the message says what to do */
    TRI_E_CHECKSUM, /* stored data is damaged */
    TRI_E_BUSY,     /* a bounded queue or pool is full: try again */
    TRI_E_CANCELLED,
    TRI_E_DEVICE,  /* the device or its driver failed */
    TRI_E_INTERNAL /* a broken invariant of ours */
} tri_status;

/* Filled once, where a failure is first seen; callers add context in front.
 * A zeroed tri_error is valid; every function accepts err == NULL. */
typedef struct tri_error {
    tri_status status;
    char message[1024]; /* NUL-terminated UTF-8, one line */
} tri_error;

TRI_API const char *tri_status_name(tri_status status); /* "TRI_E_FORMAT" */
TRI_API const char *tri_version(void);
/* Of what a call here gave out and its comment says to free so; NULL is fine. */
TRI_API void tri_free(void *memory);

/* Element types.  The values are stored in no file (names are), but plugins see them: append only.
 * Block formats are GGUF's: a row of n elements is n / block_elems blocks. */
typedef enum tri_dtype {
    TRI_F32 = 0,
    TRI_F16,
    TRI_BF16,
    TRI_F64,
    TRI_F8_E4M3,
    TRI_F8_E5M2,
    TRI_BOOL,
    TRI_I8,
    TRI_U8,
    TRI_I16,
    TRI_U16,
    TRI_I32,
    TRI_U32,
    TRI_I64,
    TRI_U64,
    TRI_I4, /* two signed nibbles a byte, low nibble first; scales apart */
    TRI_Q4_0,
    TRI_Q4_1,
    TRI_Q5_0,
    TRI_Q5_1,
    TRI_Q8_0,
    TRI_Q2_K,
    TRI_Q3_K,
    TRI_Q4_K,
    TRI_Q5_K,
    TRI_Q6_K,
    TRI_IQ4_NL,
    TRI_IQ4_XS,
    TRI_MXFP4,
    TRI_N_DTYPES
} tri_dtype;

TRI_API const char *tri_dtype_name(tri_dtype dtype); /* "bf16", "q4_0" */
/* False when the name is unknown.  Accepts our names, safetensors' and TensorRT-LLM's ("bfloat16").
 */
TRI_API bool tri_dtype_parse(const char *name, tri_dtype *dtype);

enum { TRI_MAX_DIMS = 4 };

/* Extents known only when a step runs, in place of a dim. */
enum {
    TRI_DIM_T = -1, /* tokens in the step */
    TRI_DIM_S = -2, /* sequences in the step */
    TRI_DIM_R = -3  /* rows whose logits are wanted */
};

#ifdef __cplusplus
}
#endif
#endif
