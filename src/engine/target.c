#include "engine/target.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"
#include "device/cpu/isa.h"
#include "device/device.h"

const char *tri_isa_shown(const char *isa) {
    return isa[0] ? isa : "generic";
}

const char *tri_isa_of(const char *shown) {
    return strcmp(shown, "generic") == 0 ? "" : shown;
}

const char *tri_machine_isa(void) {
    return tri_cpu_isa_name(tri_cpu_isa_detect());
}

/* ---- names ---- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* sm_80 and later, of two or three digits, with or without a. */
static bool is_cuda_arch(const char *arch) {
    if (strncmp(arch, "sm_", 3) != 0) return false;
    const char *c = arch + 3;
    int32_t number = 0, n = 0;
    for (; is_digit(*c) && n < 3; c++, n++)
        number = 10 * number + (*c - '0');
    if (*c == 'a') c++;
    return n >= 2 && !*c && number >= 80;
}

tri_status tri_target_check(const char *kind, const char *arch, tri_error *err) {
    if (strcmp(kind, "cuda") == 0) {
        if (is_cuda_arch(arch)) return TRI_OK;
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "'%s' is no CUDA architecture that can be built for; sm_80 and later can, sm_90a is "
            "Hopper's",
            arch);
    }
    if (strcmp(kind, "cpu") != 0 && strcmp(kind, "null") != 0)
        return TRI_FAIL(
            err, TRI_E_UNSUPPORTED, "target '%s' is unknown; cpu, cuda and null can be", kind);
    if (tri_arch_within("cpu", arch, "amx")) return TRI_OK;
    return TRI_FAIL(err, TRI_E_ARGUMENT,
        "instruction set '%s' is unknown; generic, avx2, avx512 and amx can be",
        tri_isa_shown(arch));
}

static tri_status parse_cuda(tri_engine_target *target, const char *arch, tri_error *err) {
    tri_plugin_device facts;
    target->kind = "cuda";
    if (!arch) {
        if (tri_device_probe("cuda", 0, &facts, target->arch)) return TRI_OK;
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "target is 'cuda' and this machine has no CUDA device to build for: name the "
            "architecture, as in cuda:sm_90a");
    }
    TRI_TRY(tri_target_check("cuda", arch, err));
    (void)snprintf(target->arch, sizeof target->arch, "%s", arch);
    return TRI_OK;
}

tri_status tri_target_parse(
    tri_engine_target *target, const char *text, const char *cpu_isa, tri_error *err) {
    tri_engine_target made = {.kind = "cpu"};
    if (!text) text = "cpu";
    const char *asked = cpu_isa ? tri_isa_of(cpu_isa) : tri_machine_isa();
    if (strcmp(text, "cuda") == 0 || strncmp(text, "cuda:", 5) == 0) {
        TRI_TRY(parse_cuda(&made, text[4] ? text + 5 : NULL, err));
    } else if (strcmp(text, "cpu") != 0 && strcmp(text, "null") != 0) {
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "target is '%s'; cpu, cuda, cuda:ARCH (as in cuda:sm_90a) and null can be", text);
    } else if (!tri_arch_within("cpu", asked, "amx")) {
        return TRI_FAIL(
            err, TRI_E_ARGUMENT, "cpu_isa is '%s'; generic, avx2, avx512 and amx can be", cpu_isa);
    } else {
        made.kind = strcmp(text, "null") == 0 ? "null" : "cpu";
        (void)snprintf(made.arch, sizeof made.arch, "%s", asked);
    }
    *target = made;
    return TRI_OK;
}

/* ---- facts ---- */

/* Multiprocessors of the largest device of an architecture, as its white paper gives them. */
static int32_t multiprocessors_of(const char *arch) {
    static const struct {
        const char *arch;
        int32_t n;
    } known[] = {{"sm_80", 108}, {"sm_86", 84}, {"sm_89", 142}, {"sm_90", 132}, {"sm_100", 148},
        {"sm_103", 148}, {"sm_120", 188}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t n = strlen(known[i].arch);
        if (strncmp(arch, known[i].arch, n) == 0 && !is_digit(arch[n])) return known[i].n;
    }
    return known[0].n;
}

tri_plugin_device tri_target_facts(const char *kind, const char *arch) {
    if (strcmp(kind, "cuda") == 0) {
        tri_plugin_device facts;
        char here[16];
        if (!tri_device_probe("cuda", 0, &facts, here) || strcmp(here, arch) != 0) {
            facts = (tri_plugin_device){.struct_size = sizeof facts,
                .kind = "cuda",
                .n_threads = multiprocessors_of(arch),
                .l2_bytes = 40 << 20,
                .shared_bytes = 164 << 10};
        }
        facts.arch = arch;
        return facts;
    }
    long l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
    return (tri_plugin_device){.struct_size = sizeof(tri_plugin_device),
        .kind = "cpu",
        .arch = arch,
        .n_threads = tri_cpu_count(),
        .l2_bytes = l2 > 0 ? l2 : 512 << 10};
}

bool tri_target_here(const char *kind, const char *built_for, char arch[16]) {
    tri_plugin_device facts;
    if (strcmp(kind, "cuda") == 0) return tri_device_probe("cuda", 0, &facts, arch);
    const char *own = tri_machine_isa();
    if (!tri_arch_within("cpu", built_for, own))
        (void)snprintf(arch, 16, "%s", own);
    else if (arch != built_for)
        (void)snprintf(arch, 16, "%s", built_for);
    return true;
}
