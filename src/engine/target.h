/* target.h - what an engine is made for: a kind of device and its instruction set. */
#ifndef TRI_ENGINE_TARGET_H
#define TRI_ENGINE_TARGET_H

#include "trireme/plugin.h"

typedef struct tri_engine_target {
    const char *kind; /* "cpu", "cuda", "null" */
    char arch[16];    /* "avx2", "" is generic; "sm_90a".  Of null: a CPU's */
} tri_engine_target;

/* "cpu", "null", "cuda" (the machine's own device), "cuda:sm_90a"; text NULL: cpu.  cpu_isa: at
 * most this (shown as people know it), NULL: what the machine has. */
tri_status tri_target_parse(
    tri_engine_target *target, const char *text, const char *cpu_isa, tri_error *err);
/* The same from what a file says: known names, a sound architecture. */
tri_status tri_target_check(const char *kind, const char *arch, tri_error *err);

/* Facts for choosing kernels, of the machine's device where it is one of that architecture, else of
 * such devices at large.  arch is kept. */
tri_plugin_device tri_target_facts(const char *kind, const char *arch);
/* What this machine's CPU has, in kernels' names. */
const char *tri_machine_isa(void);
/* An engine for `kind` and `arch` on this machine: the same, or what its own device is.  False:
 * none of that kind here.  arch: 16 bytes. */
bool tri_target_here(const char *kind, const char *built_for, char arch[16]);

/* "" <-> "generic": kernels say "", people and files say generic. */
const char *tri_isa_shown(const char *isa);
const char *tri_isa_of(const char *shown);

#endif
