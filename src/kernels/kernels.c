#include "kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/cpu/isa.h"
#include "device/device.h"
#include "kernels/builtin.h"

enum { MAX_ENTRIES = 4096 };

/* A nominal machine to weigh bytes against flops with: two cores of a desktop.  Only the order of
 * candidates depends on it. */
static const double nominal_bytes_per_s = 20e9, nominal_flops_per_s = 100e9;

struct tri_kernels {
    const tri_plugin_kernel **kernels;
    const tri_plugin_layout **layouts;
    int32_t n_kernels, n_layouts;
};

/* ---- registry ---- */

void tri_kernels_destroy(tri_kernels *kernels) {
    if (!kernels) return;
    free(kernels->kernels);
    free(kernels->layouts);
    free(kernels);
}

tri_status tri_kernels_create(tri_kernels **kernels, tri_error *err) {
    tri_status rc = TRI_OK;
    tri_kernels *k = calloc(1, sizeof *k);
    if (!k) return TRI_FAIL(err, TRI_E_MEMORY, "kernels: no memory");
    for (int32_t i = 0; !rc && tri_builtin_layouts[i]; i++) {
        rc = tri_kernels_register_layout(k, tri_builtin_layouts[i], err);
    }
    for (int32_t f = 0; !rc && tri_builtin_families[f]; f++) {
        const tri_plugin_kernel *const *family = tri_builtin_families[f];
        for (int32_t i = 0; !rc && family[i]; i++)
            rc = tri_kernels_register(k, family[i], err);
    }
    if (rc)
        tri_kernels_destroy(k);
    else
        *kernels = k;
    return rc;
}

static tri_status check_name(const char *what, const char *name, tri_error *err) {
    size_t n = name ? strlen(name) : 0;
    if (n == 0 || n > 48) {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "%s named \"%.60s\": 1 to 48 bytes are due", what,
            name ? name : "");
    }
    return TRI_OK;
}

/* Room for one more at the end of a list of n pointers. */
static tri_status grow(void *list, int32_t n, tri_error *err) {
    const void **old = *(const void ***)list;
    if (n >= MAX_ENTRIES) {
        return TRI_FAIL(err, TRI_E_LIMIT, "kernels: more than %d registered", MAX_ENTRIES);
    }
    if (n & (n - 1)) return TRI_OK; /* capacity is the next power of two */
    const void **grown = realloc(old, (n ? 2 * (size_t)n : 1) * sizeof *grown);
    if (!grown) return TRI_FAIL(err, TRI_E_MEMORY, "kernels: no memory");
    *(const void ***)list = grown;
    return TRI_OK;
}

tri_status tri_kernels_register(
    tri_kernels *kernels, const tri_plugin_kernel *kernel, tri_error *err) {
    TRI_TRY(check_name("kernel", kernel->name, err));
    if (kernel->struct_size < offsetof(tri_plugin_kernel, graph_capture_safe)) {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "kernel %s: struct_size %" PRIu32 " is too small",
            kernel->name, kernel->struct_size);
    }
    if (!kernel->op || !kernel->device || !kernel->launch) {
        return TRI_FAIL(
            err, TRI_E_ARGUMENT, "kernel %s: op, device and launch are due", kernel->name);
    }
    if (tri_kernels_find(kernels, kernel->name)) {
        return TRI_FAIL(
            err, TRI_E_ARGUMENT, "kernel %s: the name is already registered", kernel->name);
    }
    TRI_TRY(grow(&kernels->kernels, kernels->n_kernels, err));
    kernels->kernels[kernels->n_kernels++] = kernel;
    return TRI_OK;
}

tri_status tri_kernels_register_layout(
    tri_kernels *kernels, const tri_plugin_layout *layout, tri_error *err) {
    TRI_TRY(check_name("layout", layout->name, err));
    if (layout->struct_size < sizeof(tri_plugin_layout) || !layout->bytes || !layout->pack ||
        !layout->unpack || layout->row_unit < 1) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "layout %s: bytes, pack, unpack and a positive row_unit are due", layout->name);
    }
    if (strcmp(layout->name, "row") == 0 || tri_kernels_find_layout(kernels, layout->name)) {
        return TRI_FAIL(
            err, TRI_E_ARGUMENT, "layout %s: the name is already registered", layout->name);
    }
    TRI_TRY(grow(&kernels->layouts, kernels->n_layouts, err));
    kernels->layouts[kernels->n_layouts++] = layout;
    return TRI_OK;
}

const tri_plugin_kernel *tri_kernels_find(const tri_kernels *kernels, const char *name) {
    for (int32_t i = 0; i < kernels->n_kernels; i++) {
        if (strcmp(kernels->kernels[i]->name, name) == 0) return kernels->kernels[i];
    }
    return NULL;
}

const tri_plugin_layout *tri_kernels_find_layout(const tri_kernels *kernels, const char *name) {
    for (int32_t i = 0; i < kernels->n_layouts; i++) {
        if (strcmp(kernels->layouts[i]->name, name) == 0) return kernels->layouts[i];
    }
    return NULL;
}

/* ---- choosing ---- */

bool tri_isa_within(const char *needed, const char *have) {
    return tri_arch_within("cpu", needed, have);
}

const char *tri_kernels_isa(const tri_kernels *kernels, const char *most) {
    int32_t best = 0;
    for (int32_t i = 0; i < kernels->n_kernels; i++) {
        const tri_plugin_kernel *kernel = kernels->kernels[i];
        if (strcmp(kernel->device, "cpu") != 0) continue;
        int32_t rank = tri_cpu_isa_rank(kernel->isa);
        if (rank > best && rank <= tri_cpu_isa_rank(most)) best = rank;
    }
    return tri_cpu_isa_name(best);
}

typedef struct ranked {
    tri_kernel_choice choice;
    double seconds; /* a nominal machine's for a decode step and a prompt token */
} ranked;

static double nominal_seconds(
    const tri_plugin_kernel *kernel, const tri_plugin_desc *desc, tri_plugin_extents extents) {
    tri_plugin_cost cost = {0};
    kernel->cost(desc, &extents, &cost);
    double memory = cost.bytes / nominal_bytes_per_s, compute = cost.flops / nominal_flops_per_s;
    return memory > compute ? memory : compute;
}

static void judge(const tri_plugin_kernel *kernel, const tri_plugin_desc *desc, ranked *r) {
    *r = (ranked){.choice.kernel = kernel};
    tri_kernel_choice *c = &r->choice;
    const tri_plugin_device *device = desc->device;
    const char *isa = kernel->isa ? kernel->isa : "";
    bool any_device = strcmp(device->kind, "null") == 0;
    if (!any_device && strcmp(kernel->device, device->kind) != 0) {
        (void)snprintf(
            c->reason, sizeof c->reason, "for device %s, not %s", kernel->device, device->kind);
    } else if ((!any_device || strcmp(kernel->device, "cpu") == 0) &&
               !tri_arch_within(kernel->device, isa, device->arch)) {
        (void)snprintf(c->reason, sizeof c->reason, "needs %s, the target is %s", isa,
            device->arch[0] ? device->arch : "generic");
    } else {
        c->supported =
            !kernel->supports || kernel->supports(desc, c->reason, sizeof c->reason) == 0;
        c->reason[sizeof c->reason - 1] = 0;
    }
    if (!c->supported || !kernel->cost) return;

    int32_t n_prompt = desc->max_tokens > 0 ? desc->max_tokens : 512;
    tri_plugin_extents decode = {1, 1, 1, 512}, prefill = {n_prompt, 1, 1, n_prompt};
    kernel->cost(desc, &decode, &c->cost);
    r->seconds =
        nominal_seconds(kernel, desc, decode) + nominal_seconds(kernel, desc, prefill) / n_prompt;
}

static bool before(const ranked *a, const ranked *b) {
    if (a->choice.supported != b->choice.supported) return a->choice.supported;
    return a->choice.supported && a->seconds < b->seconds;
}

static tri_status none_supports(
    const tri_plugin_desc *desc, const ranked *all, int32_t n, tri_error *err) {
    char text[800] = "";
    size_t at = 0;
    for (int32_t i = 0; i < n && at < sizeof text - 1; i++) {
        int wrote = snprintf(text + at, sizeof text - at, "%s%s: %s", i ? "; " : "",
            all[i].choice.kernel->name, all[i].choice.reason);
        if (wrote > 0) at += (size_t)wrote;
    }
    return TRI_FAIL(err, TRI_E_UNSUPPORTED, "no kernel for op %s on %s %s%s%s", desc->op,
        desc->device->kind, desc->device->arch, n ? ": " : "", text);
}

tri_status tri_kernels_choose(const tri_kernels *kernels, const tri_plugin_desc *desc,
    tri_arena *arena, tri_kernel_choice **choices, int32_t *n_choices, tri_error *err) {
    ranked *all = TRI_NEW_N(arena, ranked, kernels->n_kernels + 1);
    tri_kernel_choice *out = TRI_NEW_N(arena, tri_kernel_choice, kernels->n_kernels + 1);
    if (!all || !out) return TRI_FAIL(err, TRI_E_MEMORY, "kernels for %s: no memory", desc->op);
    int32_t n = 0;
    for (int32_t i = 0; i < kernels->n_kernels; i++) {
        if (strcmp(kernels->kernels[i]->op, desc->op) != 0) continue;
        ranked judged;
        judge(kernels->kernels[i], desc, &judged);
        int32_t at = n++; /* insertion keeps the order of registration among equals */
        for (; at > 0 && before(&judged, &all[at - 1]); at--)
            all[at] = all[at - 1];
        all[at] = judged;
    }
    if (n == 0 || !all[0].choice.supported) return none_supports(desc, all, n, err);
    for (int32_t i = 0; i < n; i++)
        out[i] = all[i].choice;
    *choices = out;
    *n_choices = n;
    return TRI_OK;
}
