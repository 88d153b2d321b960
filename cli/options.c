/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include "cli/args.h"

#define ARG(field) offsetof(tspk_cli_args, field)

enum {
    CONVERT = TSPK_CLI_CONVERT,
    RUN = TSPK_CLI_RUN,
    VALIDATE = TSPK_CLI_VALIDATE,
    INSPECT = TSPK_CLI_INSPECT,
    DOCTOR = TSPK_CLI_DOCTOR,
    ON_IMAGES = CONVERT | RUN | VALIDATE,
    EVERY = ON_IMAGES | INSPECT | DOCTOR
};

static const char *const switches[] = {"on", "off", NULL};
static const char *const codings[] = {"differential", "rate", NULL};
static const char *const presets[] = {"default", "ecmt", NULL};
const char *const tspk_cli_run_modes[] = {"exact", "balanced", "fast", NULL};
const char *const tspk_cli_validate_modes[] = {"all", "exact", "balanced", "fast", NULL};
static const char *const interpolations[] = {"nearest", "bilinear", "bicubic", NULL};
/* In the order of tspk_isa and tspk_policy, from their second value on. */
static const char *const isas[] = {"scalar", "avx2", "avx512vnni", "neon", NULL};
static const char *const policies[] = {"none", "confidence", "entropy", "margin", "net", NULL};

/* Columns: commands, group, name, letter, kind, field, least, most, choices, value, help. */
const tspk_cli_option tspk_cli_options[] = {
    {VALIDATE, TSPK_CLI_MAIN, "onnx", 0, TSPK_CLI_PATH, ARG(onnx), 0, 0, NULL, "MODEL.onnx",
     "the source network (needed)"},
    {CONVERT, TSPK_CLI_MAIN, "data", 0, TSPK_CLI_PATH, ARG(data), 0, 0, NULL, "DATA",
     "samples to calibrate on (needed)"},
    {VALIDATE, TSPK_CLI_MAIN, "data", 0, TSPK_CLI_PATH, ARG(data), 0, 0, NULL, "DATA",
     "samples, as convert takes them (needed)"},
    {CONVERT, TSPK_CLI_MAIN, "output", 'o', TSPK_CLI_PATH, ARG(output), 0, 0, NULL, "MODEL.spike",
     "file to write (default: beside MODEL.onnx); what is there must be a .spike"},
    {CONVERT, TSPK_CLI_MAIN, "calib-images", 0, TSPK_CLI_WHOLE, ARG(calib_images), 1, 1000000, NULL,
     "N", "calibrate on the first N of the shuffled samples (default 128)"},
    {CONVERT, TSPK_CLI_MAIN, "steps", 0, TSPK_CLI_WHOLE, ARG(steps), 1, 16, NULL, "N",
     "timesteps (default 4)"},
    {CONVERT, TSPK_CLI_MAIN, "levels", 0, TSPK_CLI_WHOLE, ARG(levels), 1, 64, NULL, "N",
     "n of a neuron's 2n thresholds (default 8)"},
    {CONVERT, TSPK_CLI_MAIN, "coding", 0, TSPK_CLI_CHOICE, ARG(coding), 0, 0, codings, "CODING",
     "differential (default) or rate"},
    {CONVERT, TSPK_CLI_MAIN, "preset", 0, TSPK_CLI_CHOICE, ARG(preset), 0, 0, presets, "PRESET",
     "default, or ecmt: the published rule of ECMT (arXiv 2502.21193) throughout"},
    {CONVERT, TSPK_CLI_MAIN, "mirror", 0, TSPK_CLI_CHOICE, ARG(mirror), 0, 0, switches, "on|off",
     "calibrate on the samples' mirror images too (default on; never with --preset ecmt)"},
    {CONVERT, TSPK_CLI_MAIN, "keep-analog", 0, TSPK_CLI_TEXT, ARG(keep_analog), 0, 0, NULL,
     "SITE,...",
     "sites that do not spike, or layers: all sites under them; an attention with one is computed "
     "in float as a whole (`transpike inspect` lists the sites)"},
    {CONVERT, TSPK_CLI_MAIN, "classes", 0, TSPK_CLI_PATH, ARG(classes), 0, 0, NULL, "FILE",
     "class names to keep in the file, one a line"},
    {CONVERT, TSPK_CLI_MAIN, "seed", 0, TSPK_CLI_SEED, ARG(seed), 0, 0, NULL, "N",
     "of the shuffle (default 0); kept in the file"},
    {CONVERT, TSPK_CLI_MAIN, "merge", 0, TSPK_CLI_TEXT, ARG(merge_pairs), 0, 0, NULL, "N[,M]",
     "adds the mode balanced, in which N pairs of tokens merge a layer, in the mean (and fast, in "
     "which M do); with a search: it chooses among none, N and M"},
    {CONVERT, TSPK_CLI_MAIN, "refine", 0, TSPK_CLI_TEXT, ARG(refine_shares), 0, 0, NULL,
     "SHARE[,SHARE]",
     "of the patches that the mode balanced (and fast) computes from step 2 on; adds them too"},
    {CONVERT, TSPK_CLI_MAIN, "deterministic", 0, TSPK_CLI_RESERVED, 0, 0, 0, NULL, NULL, NULL},

    {CONVERT, TSPK_CLI_SEARCH, "max-loss", 0, TSPK_CLI_REAL, ARG(max_loss), 0, 100, NULL, "POINTS",
     "search levels, steps and prices for the least energy that loses no more top-1; adds the "
     "modes balanced and fast"},
    {CONVERT, TSPK_CLI_SEARCH, "min-agreement", 0, TSPK_CLI_REAL, ARG(min_agreement), 0, 1, NULL,
     "SHARE", "of the samples, with the source network's answer, in balanced (default 0.94)"},
    {CONVERT, TSPK_CLI_SEARCH, "max-energy", 0, TSPK_CLI_REAL, ARG(max_energy), 0, 100, NULL,
     "RATIO", "synaptic energy of balanced, to the source network's; starts a search too"},
    {CONVERT, TSPK_CLI_SEARCH, "time-budget", 0, TSPK_CLI_DURATION, ARG(time_budget), 0, 0, NULL,
     "TIME", "of the search: 90s, 10m (default), 1h"},

    {VALIDATE, TSPK_CLI_MAIN, "skip", 0, TSPK_CLI_WHOLE, ARG(skip), 0, INT64_MAX, NULL, "N",
     "leave out the first N of the shuffled samples (default 0)"},
    {VALIDATE, TSPK_CLI_MAIN, "limit", 0, TSPK_CLI_WHOLE, ARG(limit), 1, INT64_MAX, NULL, "N",
     "then use N at most (default: all)"},
    {RUN, TSPK_CLI_MAIN, "steps", 0, TSPK_CLI_WHOLE, ARG(steps), 1, 16, NULL, "N",
     "logits after step N of exact (default: its last step)"},
    {VALIDATE, TSPK_CLI_MAIN, "steps", 0, TSPK_CLI_WHOLE, ARG(steps), 1, 16, NULL, "N",
     "steps 1 to N (default: all of the file)"},
    {RUN, TSPK_CLI_MAIN, "mode", 0, TSPK_CLI_CHOICE, ARG(mode), 0, 0, tspk_cli_run_modes, "MODE",
     "operating point of the file: exact (default), balanced or fast"},
    {VALIDATE, TSPK_CLI_MAIN, "mode", 0, TSPK_CLI_CHOICE, ARG(mode), 0, 0, tspk_cli_validate_modes,
     "MODE", "operating points: all that the file has (default), exact, balanced or fast"},
    {VALIDATE, TSPK_CLI_MAIN, "layers", 0, TSPK_CLI_FLAG, ARG(has_layers), 0, 0, NULL, NULL,
     "rank the sites by the damage that each does, on the --limit images, else on 16"},
    {VALIDATE, TSPK_CLI_MAIN, "force", 0, TSPK_CLI_FLAG, ARG(is_forced), 0, 0, NULL, NULL,
     "accept another network than the .spike's source"},

    {RUN | VALIDATE, TSPK_CLI_ADAPTIVE, "policy", 0, TSPK_CLI_CHOICE, ARG(policy), 0, 0, policies,
     "POLICY",
     "when an image stops: none, confidence, entropy, margin or net (default: as the mode says)"},
    {RUN | VALIDATE, TSPK_CLI_ADAPTIVE, "exit", 0, TSPK_CLI_REAL, ARG(exit), 0, 1, NULL, "P",
     "threshold of the policy after every step (default: those that were fitted)"},
    {RUN | VALIDATE, TSPK_CLI_ADAPTIVE, "merge", 0, TSPK_CLI_CHOICE, ARG(merge), 0, 0, switches,
     "on|off", "merge tokens (default: as the mode does)"},
    {RUN | VALIDATE, TSPK_CLI_ADAPTIVE, "halt", 0, TSPK_CLI_RESERVED, 0, 0, 0, NULL, "on|off",
     NULL},
    {RUN | VALIDATE, TSPK_CLI_ADAPTIVE, "refine", 0, TSPK_CLI_CHOICE, ARG(refine), 0, 0, switches,
     "on|off", "from step 2 on compute some tokens alone (default: as the mode does)"},
    {RUN | VALIDATE, TSPK_CLI_ADAPTIVE, "halt-keys", 0, TSPK_CLI_RESERVED, 0, 0, 0, NULL,
     "drop|keep", NULL},
    {VALIDATE, TSPK_CLI_ADAPTIVE, "ablation", 0, TSPK_CLI_FLAG, ARG(has_ablation), 0, 0, NULL, NULL,
     "and what each means of the mode balanced does alone"},

    {ON_IMAGES, TSPK_CLI_IMAGES, "resize", 0, TSPK_CLI_WHOLE, ARG(resize), 0, 16384, NULL, "PIXELS",
     "resize the short side of an image; 0: not"},
    {ON_IMAGES, TSPK_CLI_IMAGES, "crop", 0, TSPK_CLI_WHOLE, ARG(crop), 0, 16384, NULL, "PIXELS",
     "cut a square of this side out of the centre; 0: not"},
    {ON_IMAGES, TSPK_CLI_IMAGES, "mean", 0, TSPK_CLI_NUMBERS, ARG(mean), 0, 0, NULL, "M,M,M",
     "subtracted from pixels in [0, 1], one number or one a channel"},
    {ON_IMAGES, TSPK_CLI_IMAGES, "std", 0, TSPK_CLI_NUMBERS, ARG(std), 0, 0, NULL, "S,S,S",
     "divides after it"},
    {ON_IMAGES, TSPK_CLI_IMAGES, "interpolation", 0, TSPK_CLI_CHOICE, ARG(interpolation), 0, 0,
     interpolations, "HOW", "of resizing: nearest, bilinear (default) or bicubic"},

    {ON_IMAGES, TSPK_CLI_MACHINE, "threads", 0, TSPK_CLI_WHOLE, ARG(threads), 1, 1024, NULL, "N",
     "threads (default: all cores); the results do not depend on it"},
    {RUN | VALIDATE, TSPK_CLI_MACHINE, "batch", 0, TSPK_CLI_WHOLE, ARG(batch), 1, 4096, NULL, "N",
     "images side by side (default 16); the results do not depend on it"},
    {RUN | VALIDATE, TSPK_CLI_MACHINE, "isa", 0, TSPK_CLI_CHOICE, ARG(isa), 0, 0, isas, "ISA",
     "kernels: scalar, avx2, avx512vnni or neon (default: the best here); the results do not "
     "depend on it"},
    {CONVERT, TSPK_CLI_MACHINE, "calib-cache", 0, TSPK_CLI_BYTES, ARG(calib_cache), 0, 0, NULL,
     "SIZE",
     "memory of the samples under way (default 2GiB, 0: any); mirror images, then samples, that do "
     "not fit are left out"},

    {RUN, TSPK_CLI_OUTPUT, "top", 0, TSPK_CLI_WHOLE, ARG(top), 0, 1000, NULL, "K",
     "show the K most probable classes (default 5)"},
    {RUN, TSPK_CLI_OUTPUT, "classes", 0, TSPK_CLI_PATH, ARG(classes), 0, 0, NULL, "FILE",
     "class names, one a line"},
    {RUN, TSPK_CLI_OUTPUT, "output", 'o', TSPK_CLI_PATH, ARG(output), 0, 0, NULL, "OUT.npy",
     "write the logits, float32 [N, classes]; of several outputs OUT_0.npy, OUT_1.npy ..."},
    {RUN, TSPK_CLI_OUTPUT, "explain", 0, TSPK_CLI_PATH, ARG(explain), 0, 0, NULL, "OUT.png",
     "draw over the image, the only one, where its tokens merged and which were refined"},
    {RUN, TSPK_CLI_OUTPUT, "dump-spikes", 0, TSPK_CLI_PATH, ARG(dump_spikes), 0, 0, NULL, "F.npz",
     "write every site's codes and fan-out (64 images at most)"},
    {RUN, TSPK_CLI_OUTPUT, "dump-products", 0, TSPK_CLI_FLAG, ARG(with_products), 0, 0, NULL, NULL,
     "and inputs and integer products (4 images at most)"},
    {VALIDATE, TSPK_CLI_OUTPUT, "report", 0, TSPK_CLI_PATH, ARG(report), 0, 0, NULL, "FILE.html",
     "write it as a page with charts and pictures, one file that loads nothing; rates and SNR of "
     "the sites are measured on 16 images unless --layers is given"},
    {ON_IMAGES, TSPK_CLI_MAIN, "strict", 0, TSPK_CLI_FLAG, ARG(is_strict), 0, 0, NULL, NULL,
     "refuse a broken sample; else it is named, counted and left out"},
    {EVERY, TSPK_CLI_OUTPUT, "json", 0, TSPK_CLI_PATH, ARG(json), 0, 0, NULL, "FILE|-",
     "write the result as JSON; -: to standard output, and nothing else there"},
    {EVERY, TSPK_CLI_OUTPUT, "quiet", 'q', TSPK_CLI_FLAG, ARG(is_quiet), 0, 0, NULL, NULL,
     "nothing on standard error but refusals: no progress, notes or warnings"},
    {EVERY, TSPK_CLI_OUTPUT, "verbose", 'v', TSPK_CLI_FLAG, ARG(is_verbose), 0, 0, NULL, NULL,
     "say more of what was guessed, on standard error"},
    {EVERY, TSPK_CLI_OUTPUT, "help", 'h', TSPK_CLI_FLAG, ARG(is_help), 0, 0, NULL, NULL,
     "this text"},
};
const size_t tspk_cli_n_options = sizeof tspk_cli_options / sizeof tspk_cli_options[0];

static const char *const convert_notes[] = {
    "DATA is a folder of images with labels.csv (file,label) or class subfolders, an .npz (images, "
    "labels), an .npy with its labels beside it, a .tar or .zip of images, an IDX pair (.gz too) "
    "or a CIFAR binary archive. Labels serve --max-loss alone. The samples are ordered by path, "
    "then shuffled by the seed.",
    "The preprocessing is kept in MODEL.spike. What is not given is guessed and said: images of "
    "the input's size are used as they are, others are resized to 256/224 of it and cropped; of "
    "the usual means and standard deviations those are taken with which the network is surest.",
    NULL};
static const tspk_cli_example convert_examples[] = {
    {"Calibrate on the first 128 of the shuffled photos; writes vit.spike",
     "convert vit.onnx --data photos/"},
    {"Two steps, with the preprocessing of timm's ViTs",
     "convert vit.onnx --data imagenet/ -o vit.spike --steps 2 --levels 16 \\\n"
     "    --resize 248 --crop 224 --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5 --interpolation bicubic"},
    {"Search the cheapest network within a point of top-1",
     "convert vit.onnx --data imagenet/ -o vit.spike --max-loss 1.0 --time-budget 20m"},
    {NULL, NULL}};

static const char *const run_notes[] = {
    "INPUT is a JPEG or PNG file, a folder of them (or another set of samples that convert takes), "
    "or one .npy batch that is preprocessed already, float32 [N, C, H, W]. A source network with "
    "several inputs takes NAME=FILE.npy for each; arrays are converted to the input's type. A "
    "source network with a fixed batch b runs b images at a time.",
    "A .spike knows its preprocessing; the flags override it. For a source network what is not "
    "given is guessed and said, as convert does.",
    NULL};
static const tspk_cli_example run_examples[] = {
    {"The most probable classes of two images", "run model.spike cat.jpg dog.png"},
    {"As JSON, after the second step", "run model.spike photos/ --steps 2 --top 1 --json -"},
    {"Stop when the answer is clear", "run model.spike photos/ --policy margin --exit 0.5"},
    {"Logits of a preprocessed batch", "run model.spike batch.npy --output logits.npy"},
    {"The source network in float",
     "run model.onnx photos/ --resize 248 --crop 224 --mean 0.5 --std 0.5 \\\n"
     "    --interpolation bicubic"},
    {"A network with several inputs",
     "run model.onnx pixels=images.npy mask=mask.npy --output out.npy"},
    {"Every spike of one image", "run model.spike cat.jpg --dump-spikes spikes.npz"},
    {NULL, NULL}};

static const char *const validate_notes[] = {
    "The samples are shuffled by the seed that the .spike keeps, so that --skip with the number of "
    "calibration images leaves those out; images that were used for both are counted and warned "
    "of. The .spike's preprocessing is used; the flags override it.",
    "Agreement: images whose top-1 equals the ANN's. KL: mean KL(ANN || SNN) of the softmax, in "
    "nats. Energies are ratios to the ANN's, cumulative up to step t; q. ANN: the quantised "
    "network of the same information. Firing rate: spikes of step t alone, over neurons. ms per "
    "image: a session of exactly t steps over tensors in memory.",
    NULL};
static const tspk_cli_example validate_examples[] = {
    {"On all images but those of the calibration",
     "validate model.spike --onnx model.onnx --data photos/ --skip 128"},
    {"On a thousand, and as JSON",
     "validate model.spike --onnx model.onnx --data test.npz --limit 1000 \\\n"
     "    --json result.json"},
    {"Which layer loses what",
     "validate model.spike --onnx model.onnx --data photos/ --skip 128 --limit 32 --layers"},
    {NULL, NULL}};

static const char *const inspect_notes[] = {
    "Of an .onnx: can it be converted? Exit code 0 and its structure, or one line that names the "
    "node in the way. Of a .spike: its sites, what stays analog, its modes and its memory.",
    NULL};
static const tspk_cli_example inspect_examples[] = {
    {"Can it be converted?", "inspect model.onnx"},
    {"What a .spike is made of, as JSON", "inspect model.spike --json -"},
    {NULL, NULL}};

static const char *const doctor_notes[] = {
    "For a bug report, and for who wonders why it is slow: the processor's instruction sets and "
    "the kernels that are chosen for it, threads and the variables that set them, the versions of "
    "the libraries, memory. Lines at the end say what slows work down here and what to do. The "
    "exit code is 0 with advice too.",
    NULL};
static const tspk_cli_example doctor_examples[] = {
    {"What this machine and this build are", "doctor"},
    {"As JSON, for a bug report", "doctor --json doctor.json"},
    {NULL, NULL}};

const tspk_cli_command tspk_cli_commands[] = {
    {TSPK_CLI_CONVERT, "convert",
     "Calibrates a Vision Transformer on samples and writes it as a spiking network.",
     "MODEL.onnx --data DATA [-o MODEL.spike] [options]", 1, 1, "one MODEL.onnx", convert_notes,
     convert_examples},
    {TSPK_CLI_RUN, "run", "Runs a spiking network, or its source network in float, over images.",
     "MODEL.spike|MODEL.onnx INPUT... [options]", 2, INT32_MAX,
     "MODEL.spike or MODEL.onnx and at least one INPUT", run_notes, run_examples},
    {TSPK_CLI_VALIDATE, "validate",
     "Runs a spiking network beside its source network and says what was lost.",
     "MODEL.spike --onnx MODEL.onnx --data DATA [options]", 1, 1, "one MODEL.spike", validate_notes,
     validate_examples},
    {TSPK_CLI_INSPECT, "inspect",
     "Shows the structure of a source network or of a spiking network.",
     "MODEL.onnx|MODEL.spike [options]", 1, 1, "one MODEL.onnx or MODEL.spike", inspect_notes,
     inspect_examples},
    {TSPK_CLI_DOCTOR, "doctor", "Shows what this machine and this build are, and what slows them.",
     "[options]", 0, 0, "no operands", doctor_notes, doctor_examples},
};
const size_t tspk_cli_n_commands = sizeof tspk_cli_commands / sizeof tspk_cli_commands[0];

const tspk_cli_exit_code tspk_cli_exit_codes[] = {
    {2, "USAGE", "wrong command line"},
    {3, "NOMEM", "memory could not be had"},
    {10, "IO", "a file could not be opened, read or written"},
    {20, "FORMAT", "bytes are not what the format says"},
    {30, "UNSUPPORTED", "well-formed, but not something that this version can do"},
    {40, "SHAPE", "dimensions do not fit together"},
    {50, "RANGE", "a value lies outside its domain"},
    {60, "LIMIT", "larger than a documented limit"},
    {61, "MISMATCH", "two inputs that belong together do not"},
    {62, "INTERRUPTED", "stopped by Ctrl-C"},
    {0, NULL, NULL},
};

const char *tspk_cli_group_title(tspk_cli_group group)
{
    static const char *const titles[TSPK_CLI_N_GROUPS] = {
        "Options", "Search", "Adaptive running", "Preprocessing", "Machine", "Output"};

    return titles[group];
}

bool tspk_cli_is_shown(const tspk_cli_option *option, const tspk_cli_command *command)
{
    return (option->commands & command->bit) != 0 && option->kind != TSPK_CLI_RESERVED;
}
