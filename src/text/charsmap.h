/* charsmap.h - SentencePiece's precompiled normalisation: prefixes of the text by replacements.
 *
 * A file's map is a Darts double array and the text of the replacements.  It is hostile: sizes and
 * encoding are checked when it is opened, every index while it is walked; what leads out of the
 * map matches nothing. */
#ifndef TRI_TEXT_CHARSMAP_H
#define TRI_TEXT_CHARSMAP_H

#include "base/arena.h"
#include "base/buf.h"

typedef struct tri_charsmap tri_charsmap; /* in the arena; immutable: shared by threads */

/* bytes are borrowed: they must outlive the map.  TRI_E_FORMAT: no such map. */
tri_status tri_charsmap_open(tri_charsmap **map, tri_str bytes, tri_arena *arena, tri_error *err);

/* The longest prefix of text that has a replacement (borrowed from the map): its length, 0: none.
 * What SentencePiece does at each place of the text. */
size_t tri_charsmap_longest(const tri_charsmap *map, tri_str text, tri_str *replacement);

/* Appends valid UTF-8, normalised as Hugging Face's Precompiled does, which is not as SentencePiece
 * does: text goes by extended grapheme clusters; one of less than 6 bytes with a prefix in the map
 * becomes the replacement of the shortest such prefix, and the rest of the cluster is lost; of any
 * other each character is replaced by itself. */
tri_status tri_charsmap_normalize(
    const tri_charsmap *map, tri_str text, tri_buf *out, tri_error *err);

#endif
