/* file_upgrade.h - engines of older formats, brought to the current one as they are read.
 *
 * A format number changes when what the header, plan or graph text mean changes.  Each older number
 * has a row that turns what it says into what the next number would; an engine older than that is
 * never refused. */
#ifndef TRI_ENGINE_FILE_UPGRADE_H
#define TRI_ENGINE_FILE_UPGRADE_H

#include "engine/file.h"

/* TRI_E_VERSION for a format newer than this build's. */
tri_status tri_engine_upgrade_check(int32_t format, const char *version, tri_error *err);
/* Runs the rows from f->format on; the file's metadata is parsed, its sums are checked. */
tri_status tri_engine_upgrade(tri_engine_file *f, tri_error *err);

#endif
