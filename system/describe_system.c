/* SPDX-License-Identifier: Apache-2.0 */
#include "transpike/system.h"

#include <archive.h>
#include <cblas.h>
#include <cjson/cJSON.h>
#include <openssl/crypto.h>
#include <protobuf-c/protobuf-c.h>
#include <spng.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "core/compiler.h"
#include "core/cpu.h"
#include "core/fail.h"
#include "core/parallel.h"
#include "system/build_facts.h"
#include "system/cpu_features.h"
#include "transpike/transpike.h"

#define LITTLE_MEMORY ((double)((size_t)2 << 30)) /* what calibration takes by default, [bytes] */

static bool add_text(cJSON *object, const char *name, const char *text)
{
    return (text ? cJSON_AddStringToObject(object, name, text)
                 : cJSON_AddNullToObject(object, name)) != NULL;
}

static bool advise(cJSON *advice, const char *text)
{
    return cJSON_AddItemToArray(advice, cJSON_CreateString(text));
}

/* What follows "name" and a colon on its first line in a file of /proc; "" when there is none. */
static void read_fact(const char *path, const char *name, char *out, size_t size)
{
    const size_t length = strlen(name);
    FILE *file = fopen(path, "r");
    char line[512];

    out[0] = '\0';
    while (file && !out[0] && fgets(line, sizeof line, file)) {
        const char *value = line + length;

        if (strncmp(line, name, length) != 0)
            continue;
        value += strspn(value, " \t:");
        snprintf(out, size, "%.*s", (int)strcspn(value, "\n"), value);
    }
    if (file)
        fclose(file);
}

static bool add_build(cJSON *json, cJSON *advice)
{
    cJSON *build = cJSON_AddObjectToObject(json, "build");

    if (!add_text(build, "compiler", TSPK_BUILD_COMPILER) ||
        !add_text(build, "type", TSPK_BUILD_TYPE) ||
        !add_text(build, "machine", TSPK_BUILD_MACHINE) ||
        !cJSON_AddBoolToObject(build, "openmp", TSPK_BUILD_OPENMP) ||
        !cJSON_AddBoolToObject(build, "simd", TSPK_BUILD_SIMD) ||
        !cJSON_AddBoolToObject(build, "sanitizers", TSPK_BUILD_SANITIZERS))
        return false;
    if (!TSPK_BUILD_OPENMP &&
        !advise(advice, "built without OpenMP: everything runs on one thread"))
        return false;
    if (TSPK_BUILD_SANITIZERS &&
        !advise(advice, "built with sanitizers: slow, and meant for tests alone"))
        return false;
    return strcmp(TSPK_BUILD_TYPE, "debug") != 0 ||
           advise(advice, "built without optimisation: meson configure -Dbuildtype=release");
}

static bool add_processor(cJSON *json)
{
    tspk_cpu_feature feature[TSPK_MAX_CPU_FEATURES];
    const size_t n = tspk_cpu_features(feature);
    cJSON *cpu = cJSON_AddObjectToObject(json, "cpu");
    cJSON *features;
    char name[128];

    read_fact("/proc/cpuinfo", "model name", name, sizeof name);
    if (!add_text(cpu, "name", name[0] ? name : NULL) ||
        !cJSON_AddNumberToObject(cpu, "cores_online", (double)sysconf(_SC_NPROCESSORS_ONLN)) ||
        !(features = cJSON_AddObjectToObject(cpu, "features")))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!cJSON_AddBoolToObject(features, feature[i].name, feature[i].is_present))
            return false;
    return true;
}

static bool add_kernels(cJSON *json, cJSON *advice)
{
    static const tspk_isa isas[] = {TSPK_ISA_SCALAR, TSPK_ISA_AVX2, TSPK_ISA_AVX512VNNI,
                                    TSPK_ISA_NEON};
    const tspk_isa chosen = tspk_isa_resolve(TSPK_ISA_AUTO);
    cJSON *kernels = cJSON_AddObjectToObject(json, "kernels");
    cJSON *supported;

    if (!add_text(kernels, "chosen", tspk_isa_name(chosen)) ||
        !(supported = cJSON_AddArrayToObject(kernels, "supported")))
        return false;
    for (size_t i = 0; i < TSPK_COUNT_OF(isas); i++)
        if (tspk_isa_is_supported(isas[i]) &&
            !cJSON_AddItemToArray(supported, cJSON_CreateString(tspk_isa_name(isas[i]))))
            return false;
    return chosen != TSPK_ISA_SCALAR ||
           advise(advice, TSPK_BUILD_SIMD
                              ? "no vector kernels for this processor: the scalar ones are slow"
                              : "built without vector kernels: meson configure -Dsimd=true");
}

static bool add_threads(cJSON *json, cJSON *advice)
{
    static const char *const names[] = {"OMP_THREAD_LIMIT", "OMP_WAIT_POLICY", "OMP_PROC_BIND",
                                        "OMP_PLACES", "GOMP_SPINCOUNT"};
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const int threads = tspk_parallel_max_threads();
    cJSON *object = cJSON_AddObjectToObject(json, "threads");
    cJSON *environment;

    if (!cJSON_AddNumberToObject(object, "default", threads) ||
        !(environment = cJSON_AddObjectToObject(object, "environment")))
        return false;
    for (size_t i = 0; i < TSPK_COUNT_OF(names); i++)
        if (!add_text(environment, names[i], getenv(names[i])))
            return false;
    if (TSPK_BUILD_OPENMP && threads < cores) {
        char text[160];

        snprintf(text, sizeof text,
                 "%d of %ld cores are used: the affinity of the process or a limit on it says so",
                 threads, cores);
        return advise(advice, text);
    }
    return true;
}

static bool add_libraries(cJSON *json)
{
    cJSON *libraries = cJSON_AddObjectToObject(json, "libraries");
    cJSON *blas = cJSON_AddObjectToObject(libraries, "openblas");

    return add_text(blas, "config", openblas_get_config()) &&
           add_text(blas, "core", openblas_get_corename()) &&
           add_text(libraries, "libarchive", archive_version_details()) &&
           add_text(libraries, "protobuf-c", protobuf_c_version()) &&
           add_text(libraries, "turbojpeg", TSPK_BUILD_TURBOJPEG) &&
           add_text(libraries, "spng", spng_version_string()) &&
           add_text(libraries, "cjson", cJSON_Version()) &&
           add_text(libraries, "crypto", OpenSSL_version(OPENSSL_VERSION)) &&
           add_text(libraries, "zlib", zlibVersion());
}

static bool add_memory(cJSON *json, cJSON *advice)
{
    const double page = (double)sysconf(_SC_PAGESIZE);
    cJSON *memory = cJSON_AddObjectToObject(json, "memory");
    char text[64];
    double available;

    read_fact("/proc/meminfo", "MemAvailable", text, sizeof text);
    available = 1024 * strtod(text, NULL); /* "… kB" */
    if (!cJSON_AddNumberToObject(memory, "total", page * (double)sysconf(_SC_PHYS_PAGES)) ||
        !(available > 0 ? cJSON_AddNumberToObject(memory, "available", available)
                        : cJSON_AddNullToObject(memory, "available")))
        return false;
    return !(available > 0 && available < LITTLE_MEMORY) ||
           advise(advice,
                  "less than 2 GiB of memory are free: convert with a smaller --calib-cache");
}

tspk_status tspk_system_describe(char **json_out, tspk_error *err)
{
    cJSON *json = cJSON_CreateObject();
    cJSON *advice = cJSON_CreateArray();
    char *text = NULL;

    if (json && advice && add_text(json, "schema", "transpike.doctor/1") &&
        add_text(json, "version", tspk_version()) && add_build(json, advice) &&
        add_processor(json) && add_kernels(json, advice) && add_threads(json, advice) &&
        add_libraries(json) && add_memory(json, advice) &&
        cJSON_AddItemToObject(json, "advice", advice)) {
        advice = NULL; /* json owns it */
        text = cJSON_Print(json);
    }
    cJSON_Delete(advice);
    cJSON_Delete(json);
    if (!text)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the description of the system");
    *json_out = text;
    return TSPK_OK;
}
