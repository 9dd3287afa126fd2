/* build_options.h - the flags that say how an engine is built, shared by build, run and bench. */
#ifndef TRI_CLI_BUILD_OPTIONS_H
#define TRI_CLI_BUILD_OPTIONS_H

#include "cli/options.h"
#include "trireme/engine.h"

/* Flags of `build` and `run` alike; at most TRI_PRECISION_OPTIONS written to table. */
enum { TRI_PRECISION_OPTIONS = 12 };
int32_t tri_precision_options(
    tri_build_options *build, tri_option_list *plugins, tri_option *table);

/* The first of these flags given that only a build can follow, without dashes; NULL: none. */
const char *tri_first_build_option(const tri_build_options *build);

/* trtllm-build's flags that mean nothing here, or ask for what is not here. */
enum { TRI_LEGACY_OPTIONS = 96 };
int32_t tri_legacy_build_options(tri_option *table);

#endif
