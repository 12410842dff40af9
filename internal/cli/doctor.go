package cli

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"text/tabwriter"

	"github.com/go-nncf/nncf/internal/cpu"
	"github.com/go-nncf/nncf/internal/runtimes"
	"github.com/go-nncf/nncf/internal/runtimes/openvino"
	"github.com/go-nncf/nncf/internal/runtimes/ort"
)

type doctorCmd struct{}

func (doctorCmd) Help() string {
	return `Says what this program is, what the processor has, and for each runtime of
--runtime: whether this build can load it, where its library is looked for, what
was found, in which version, and how to get what is missing.

Examples:
  nncf doctor
  nncf doctor --json`
}

// diagnosis is what doctor reports.
type diagnosis struct {
	Version   string   `json:"version"`
	Go        string   `json:"go"`
	Platform  string   `json:"platform"`
	Cores     int      `json:"cores"`
	Kernels   string   `json:"kernels"`  // in use
	Features  []string `json:"features"` // of the processor, as far as kernels use them
	Saturates bool     `json:"int8_saturates"`
	Built     bool     `json:"runtimes_built"` // with -tags runtimes

	Runtimes []runtimeDiagnosis `json:"runtimes"`
}

// runtimeDiagnosis is one library.
type runtimeDiagnosis struct {
	Runtime  string   `json:"runtime"`
	Library  string   `json:"library,omitempty"` // file that was found
	Version  string   `json:"version,omitempty"`
	Variable string   `json:"variable"` // environment variable that names the file
	Places   []string `json:"places"`   // folders that are searched
	Problem  string   `json:"problem,omitempty"`
	Remedy   []string `json:"remedy,omitempty"`
}

// foreignRuntime is a library of --runtime.
type foreignRuntime struct {
	name    string
	library runtimes.Library
	version func(string) (string, error)
	get     []string
}

func foreignRuntimes() []foreignRuntime {
	return []foreignRuntime{
		{ortRuntime, ort.Library(), ort.Version, []string{
			"python3 -m venv .venv && . .venv/bin/activate && pip install onnxruntime   (found while the environment is active)",
			"or unpack a release archive of ONNX Runtime and set NNCF_ORT_LIB=…/lib/libonnxruntime.so",
		}},
		{ovRuntime, openvino.Library(), openvino.Version, []string{
			"python3 -m venv .venv && . .venv/bin/activate && pip install openvino   (found while the environment is active)",
			"or install OpenVINO's archive below /opt/intel, or set NNCF_OPENVINO_LIB=…/libopenvino_c.so",
		}},
	}
}

const buildRemedy = "build with: CGO_ENABLED=0 go build -tags runtimes ./cmd/nncf   (Linux and macOS)"

func diagnose() diagnosis {
	d := diagnosis{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU(),
		Kernels: cpu.Best().String(), Features: []string{}, Saturates: cpu.Int8Saturates(), Built: true}
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		d.Version = b.Main.Version
	}
	for f := cpu.Feature(1); f != 0; f <<= 1 {
		if cpu.Has(f) {
			d.Features = append(d.Features, f.String())
		}
	}
	for _, r := range foreignRuntimes() {
		x := runtimeDiagnosis{Runtime: r.name, Variable: r.library.Env, Places: r.library.Places()}
		var err error
		if x.Library, err = r.library.Find(""); err != nil {
			x.Problem, x.Remedy = err.Error(), r.get
		}
		v, verr := r.version(x.Library)
		switch {
		case errors.Is(verr, runtimes.ErrNotBuilt):
			d.Built = false
			x.Remedy = append([]string{buildRemedy}, x.Remedy...)
			if x.Problem == "" {
				x.Problem = verr.Error()
			}
		case err == nil && verr != nil:
			x.Problem, x.Remedy = verr.Error(), r.get
		case err == nil:
			x.Version = v
		}
		d.Runtimes = append(d.Runtimes, x)
	}
	return d
}

func (doctorCmd) Run(s *session) error {
	d := diagnose()
	if s.JSON {
		return s.printJSON(d)
	}
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	row := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	row("nncf\t%s, %s, %s", d.Version, d.Go, d.Platform)
	row("kernels\t%s, %d cores", d.Kernels, d.Cores)
	if d.Saturates {
		row("8-bit weights\tsaturate in runtimes here: no VNNI; they keep to 7 bits unless overflow_fix is disable")
	} else {
		row("8-bit weights\tare exact in runtimes here")
	}
	for _, r := range d.Runtimes {
		row("")
		state := "ready"
		switch {
		case r.Library == "":
			state = "not found"
		case r.Version == "" && !d.Built:
			state = "found; this program was built without runtimes"
		case r.Version == "":
			state = "found, but does not load"
		}
		row("%s\t%s", r.Runtime, state)
		if r.Library != "" {
			row("  library\t%s", r.Library)
		}
		if r.Version != "" {
			row("  version\t%s", r.Version)
		} else if r.Problem != "" && r.Library != "" {
			row("  problem\t%s", r.Problem)
		}
		if r.Library == "" || r.Version == "" && d.Built {
			row("  variable\t%s names the file", r.Variable)
			for _, p := range slices.Compact(r.Places) {
				row("  looked in\t%s", p)
			}
		}
		for _, text := range r.Remedy {
			row("  remedy\t%s", text)
		}
	}
	return w.Flush()
}
