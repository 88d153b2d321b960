/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/refuse.h"

const char *const tspk_cli_isa_choices[] = {"scalar", "avx2", "avx512vnni", "neon", NULL};
const char *const tspk_cli_interpolation_choices[] = {"nearest", "bilinear", "bicubic", NULL};
const char *const tspk_cli_policy_choices[] = {"none", "confidence", "entropy", "margin", "net",
                                               NULL};

static const char *const switch_choices[] = {"on", "off", NULL};
static const char *const mode_choices[] = {"exact", "balanced", "fast", NULL};

tspk_isa tspk_cli_isa(const tspk_cli_args *args)
{
    switch (args->isa) {
    case 0:
        return TSPK_ISA_SCALAR;
    case 1:
        return TSPK_ISA_AVX2;
    case 2:
        return TSPK_ISA_AVX512VNNI;
    case 3:
        return TSPK_ISA_NEON;
    default:
        return TSPK_ISA_AUTO;
    }
}

tspk_policy tspk_cli_policy(const tspk_cli_args *args)
{
    switch (args->policy) {
    case 0:
        return TSPK_POLICY_NONE;
    case 1:
        return TSPK_POLICY_CONFIDENCE;
    case 2:
        return TSPK_POLICY_ENTROPY;
    case 3:
        return TSPK_POLICY_MARGIN;
    case 4:
        return TSPK_POLICY_NET;
    default:
        return TSPK_POLICY_OF_MODE;
    }
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), n_end = strlen(end);

    return n >= n_end && strcmp(text + n - n_end, end) == 0;
}

tspk_status tspk_cli_is_spike(const char *path, bool *is_spike_out, tspk_error *err)
{
    unsigned char first[4] = {0};
    FILE *file = fopen(path, "rb");
    size_t n = 0;

    if (file) {
        n = fread(first, 1, sizeof first, file);
        if (ferror(file)) {
            const int number = errno;

            fclose(file);
            return tspk_cli_fail(err, TSPK_IO, "%s: cannot be read: %s", path, strerror(number));
        }
        fclose(file);
    } else {
        return tspk_cli_fail(err, TSPK_IO, "%s: cannot be opened: %s", path, strerror(errno));
    }
    *is_spike_out = ends_with(path, ".spike") ||
                    (!ends_with(path, ".onnx") && n == 4 && memcmp(first, "PK\003\004", 4) == 0);
    return TSPK_OK;
}

static tspk_status run(const tspk_cli_args *args, tspk_error *err)
{
    const char *model = args->inputs[0];
    bool is_spike;

    if (args->mode >= 0 && args->steps >= 0)
        return tspk_cli_fail(err, TSPK_USAGE, "--mode and --steps exclude each other");
    if (args->with_products && !args->dump_spikes)
        return tspk_cli_fail(err, TSPK_USAGE, "--dump-products needs --dump-spikes FILE.npz");
    if (tspk_cli_is_stdout(args->output) || tspk_cli_is_stdout(args->dump_spikes))
        return tspk_cli_fail(err, TSPK_USAGE, "-: arrays need a file to be written to");
    TSPK_CLI_TRY(tspk_cli_is_spike(model, &is_spike, err));
    if (is_spike)
        return tspk_cli_run_spike(args, args->mode >= 0 ? mode_choices[args->mode] : "exact", err);
    if (args->mode >= 0 || args->steps >= 0 || args->dump_spikes || args->isa >= 0 ||
        args->policy >= 0 || args->exit >= 0 || args->merge >= 0 ||
        args->explain)
        return tspk_cli_fail(
            err, TSPK_USAGE,
            "%s is a source network: --mode, --steps, --policy, --exit, --merge, --isa, --explain "
            "and --dump-spikes need a .spike",
            model);
    return tspk_cli_run_onnx(args, err);
}

static const tspk_cli_option options[] = {
    {"steps", 0, TSPK_CLI_WHOLE, TSPK_CLI_ARG(steps), 1, 16, NULL, "N",
     "logits after step N of exact (default: its last step)"},
    {"mode", 0, TSPK_CLI_CHOICE, TSPK_CLI_ARG(mode), 0, 0, mode_choices, "MODE",
     "operating point of the file (default exact)"},
    TSPK_CLI_EXIT_OPTIONS,
    TSPK_CLI_BATCH_OPTION,
    TSPK_CLI_THREADS_OPTION,
    TSPK_CLI_ISA_OPTION,
    {"merge", 0, TSPK_CLI_CHOICE, TSPK_CLI_ARG(merge), 0, 0, switch_choices, "on|off",
     "merge tokens (default: as the mode does)"},
    {"explain", 0, TSPK_CLI_TEXT, TSPK_CLI_ARG(explain), 0, 0, NULL, "OUT.png",
     "draw over the image, the only one, where its tokens merged"},
    {"top", 0, TSPK_CLI_WHOLE, TSPK_CLI_ARG(top), 0, 1000, NULL, "K",
     "show the K most probable classes (default 5)"},
    {"classes", 0, TSPK_CLI_TEXT, TSPK_CLI_ARG(classes), 0, 0, NULL, "FILE",
     "class names, one a line"},
    {"output", 'o', TSPK_CLI_TEXT, TSPK_CLI_ARG(output), 0, 0, NULL, "OUT.npy",
     "write the logits, float32 [N, classes]; of several outputs OUT_0.npy, OUT_1.npy ..."},
    {"dump-spikes", 0, TSPK_CLI_TEXT, TSPK_CLI_ARG(dump_spikes), 0, 0, NULL, "F.npz",
     "write every site's codes and fan-out (64 images at most)"},
    {"dump-products", 0, TSPK_CLI_FLAG, TSPK_CLI_ARG(with_products), 0, 0, NULL, NULL,
     "and inputs and integer products (4 images at most)"},
    TSPK_CLI_PREPROCESS_OPTIONS,
    TSPK_CLI_COMMON_OPTIONS,
    TSPK_CLI_LATER_OPTION("halt"),
    TSPK_CLI_LATER_OPTION("refine"),
    TSPK_CLI_LATER_OPTION("halt-keys"),
};

static const char *const notes[] = {
    "INPUT is a JPEG or PNG file, a folder of them (or another set of samples that convert takes), "
    "or one .npy batch that is preprocessed already, float32 [N, C, H, W]. A source network with "
    "several inputs takes NAME=FILE.npy for each; arrays are converted to the input's type. A "
    "source "
    "network with a fixed batch b runs b images at a time.",
    "A .spike knows its preprocessing; the flags override it. For a source network it is guessed "
    "when neither --resize nor --crop is given: images of the input's size are used as they are, "
    "others are resized to 256/224 of it and cropped; mean 0, standard deviation 1.",
    NULL};

static const char *const examples[] = {
    "transpike run model.spike cat.jpg dog.png",
    "transpike run model.spike photos/ --steps 2 --top 1 --json -",
    "transpike run model.spike batch.npy --output logits.npy",
    "transpike run model.onnx photos/ --resize 248 --crop 224 --mean 0.5 --std 0.5 \\\n"
    "      --interpolation bicubic",
    "transpike run model.onnx pixels=images.npy mask=mask.npy --output out.npy",
    "transpike run model.spike cat.jpg --dump-spikes spikes.npz",
    NULL};

static const tspk_cli_command command = {
    "run",
    "Runs a spiking network, or its source network in float, over images.",
    "MODEL.spike|MODEL.onnx INPUT... [options]",
    options,
    TSPK_CLI_COUNT_OF(options),
    2,
    INT32_MAX,
    "MODEL.spike or MODEL.onnx and at least one INPUT",
    notes,
    examples,
    run,
};

const tspk_cli_command *tspk_cli_command_run(void)
{
    return &command;
}
