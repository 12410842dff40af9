package layering

// A row gives a package its rank. The pattern is a path inside the module, ""
// for its root; "x/*" stands for the folders directly in x and "x/..." for all
// below it. The most exact pattern wins.
type row struct {
	pattern string
	rank    int
}

// testHelpers is the rank of packages that only test files and each other
// import. They may import anything: the compiler refuses cycles.
const testHelpers = -1

// ranks says who may import whom: a package imports only packages of strictly
// lower rank, so siblings never import each other. A package that matches no
// row fails the test.
var ranks = []row{
	{"internal/testkit/...", testHelpers},
	{"internal/kernel/tile/tiletest", testHelpers},
	{"internal/runtimes/runtimestest", testHelpers},
	{"engine/enginetest", testHelpers},

	{"tensor", 0},
	{"internal/atomicfile", 0},
	{"internal/onnxpb", 0},
	{"internal/par", 0},
	{"internal/cpu", 0},

	{"ir", 1},
	{"data", 1},
	{"internal/kernel/*", 1},
	{"internal/kernel/conv", 2},      // on tile and axis
	{"internal/kernel/depthwise", 2}, // on axis
	{"internal/kernel/gemm", 2},      // on tile
	{"internal/kernel/norm", 2},      // rows are built on elementwise and reduce
	{"internal/kernel/probe", 2},     // on elementwise and tile

	{"op", 2},
	{"rewrite", 2},

	{"onnx", 3},
	{"autodiff", 3},
	{"pass", 3},
	{"channel", 3},
	{"zoo", 3},

	{"compress", 4},
	{"engine", 4},
	{"internal/runtimes", 3},
	{"internal/runtimes/*", 4},

	{"compress/*", 5},
	{"compress/schedule", 4},  // beneath every algorithm
	{"compress/ptq", 6},       // on quantization
	{"compress/precision", 4}, // numbers, of which quantization chooses bits
	{"compress/hessian", 4},   // beneath quantization; runs graphs through an interface of its own
	{"engine/plan", 5},

	{"engine/native", 6},
	{"train", 6},

	{"config", 7},
	{"report", 7},

	{"", 8}, // the facade

	{"job", 9}, // what the commands do, for programs too

	{"internal/cli", 10},
	{"examples/...", 10},

	{"cmd/*", 11},
}

// outside lists packages that stand outside the ranks: they import nothing of
// the module and nothing imports them.
var outside = []string{"internal/layering"}

// external says which packages may import a module from outside; tests may
// import all of them. Adding a line here means adding one to docs/dependencies.md, with the reason.
var external = map[string][]string{
	"github.com/alecthomas/kong":            {"internal/cli/...", "cmd/..."},
	"github.com/ebitengine/purego":          {"internal/runtimes/..."},
	"github.com/google/go-cmp":              {"..."}, // tests only, see testOnly
	"github.com/rogpeppe/go-internal":       {"..."},
	"github.com/santhosh-tekuri/jsonschema": {"config/..."},
	"github.com/tidwall/jsonc":              {"config/..."},
	"golang.org/x/sys":                      {"internal/cpu/...", "engine/...", "internal/cli/..."},
	"golang.org/x/term":                     {"internal/cli/..."},
	"google.golang.org/protobuf":            {"internal/onnxpb/..."},
}

// testOnly lists the external modules that only test files import.
var testOnly = []string{"github.com/google/go-cmp", "github.com/rogpeppe/go-internal"}

// unsafeAllowed lists where unsafe may be imported: kernels, the foreign
// runtimes, and the places that view one block of memory as several types.
var unsafeAllowed = []string{
	"internal/kernel/...",
	"internal/runtimes/...",
	"internal/onnxpb",
	"tensor",
	"engine/...",
}

// printing lists the packages that may write to the process's own streams;
// all others take a writer or a *slog.Logger.
var printing = []string{"internal/cli/...", "cmd/...", "examples/..."}

// mutable lists packages that may assign to their own package-level variables.
var mutable = []string{"internal/cpu"} // the hook by which tests hide a feature

// maxLines is the length past which a hand-written file has more than one
// subject.
const maxLines = 600

// long lists hand-written files that may be longer, with the reason.
var long = map[string]string{}
