#include "engine/file_upgrade.h"

typedef struct upgrade_row {
    int32_t from;
    tri_status (*run)(tri_engine_file *f, tri_error *err); /* NULL: nothing to change */
} upgrade_row;

/* One row for each format that there was. */
static const upgrade_row rows[] = {
    {.from = 1, .run = NULL},
};
_Static_assert(sizeof rows / sizeof *rows == TRI_ENGINE_FORMAT, "a row for each format");

tri_status tri_engine_upgrade_check(int32_t format, const char *version, tri_error *err) {
    if (format > TRI_ENGINE_FORMAT)
        return TRI_FAIL(err, TRI_E_VERSION,
            "engine format %" PRId32 ", written by Trireme %.40s; this is %s and reads formats up "
            "to %d: update it, or build the engine again with it",
            format, version, TRI_VERSION_STRING, TRI_ENGINE_FORMAT);
    return TRI_OK;
}

tri_status tri_engine_upgrade(tri_engine_file *f, tri_error *err) {
    for (; f->format < TRI_ENGINE_FORMAT; f->format++) {
        const upgrade_row *row = &rows[f->format - 1];
        if (row->run) TRI_TRY(row->run(f, err));
    }
    return TRI_OK;
}
