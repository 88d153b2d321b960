/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/refuse.h"

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

tspk_status tspk_cli_run(const tspk_cli_args *args, tspk_error *err)
{
    const char *model = args->inputs[0];
    bool is_spike;

    if (args->mode >= 0 && args->steps >= 0)
        return tspk_cli_fail(err, TSPK_USAGE, "--mode and --steps exclude each other");
    if (args->with_products && !args->dump_spikes)
        return tspk_cli_fail(err, TSPK_USAGE, "--dump-products needs --dump-spikes FILE.npz");
    if (tspk_cli_is_stdout(args->output) || tspk_cli_is_stdout(args->dump_spikes))
        return tspk_cli_fail(err, TSPK_USAGE, "-: arrays need a file to be written to");
    if (args->explain && !ends_with(args->explain, ".png"))
        return tspk_cli_fail(err, TSPK_USAGE,
                             "--explain %s: the picture is a PNG; let its name end in .png",
                             args->explain);
    TSPK_CLI_TRY(tspk_cli_is_spike(model, &is_spike, err));
    if (is_spike)
        return tspk_cli_run_spike(args, args->mode >= 0 ? tspk_cli_run_modes[args->mode] : "exact",
                                  err);
    if (args->mode >= 0 || args->steps >= 0 || args->dump_spikes || args->isa >= 0 ||
        args->policy >= 0 || args->exit >= 0 || args->merge >= 0 || args->refine >= 0 ||
        args->explain)
        return tspk_cli_fail(
            err, TSPK_USAGE,
            "%s is a source network: --mode, --steps, --policy, --exit, --merge, --refine, --isa, "
            "--explain and --dump-spikes need a .spike",
            model);
    return tspk_cli_run_onnx(args, err);
}
