package train_test

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-nncf/nncf/tensor"
	"github.com/go-nncf/nncf/train"
)

// fullDisk, set to a path, makes the test binary save a checkpoint there under
// a limit on the size of files.
const fullDisk = "NNCF_TEST_FULL_DISK"

// TestCheckpoint_SaveFullDisk lets the system refuse a write half way, in a
// process of its own. The old file must stay and nothing else.
func TestCheckpoint_SaveFullDisk(t *testing.T) {
	big := &train.Checkpoint{Tensors: []train.NamedTensor{{Name: "w", Tensor: tensor.New(tensor.Float32, 1<<20)}}}
	if path := os.Getenv(fullDisk); path != "" {
		signal.Ignore(syscall.SIGXFSZ) // the write then fails with EFBIG
		const limit = 64 << 10
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			t.Skipf("setting a limit on the size of files: %v", err)
		}
		wantError(t, big.Save(path), "file too large")
		return
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "last.ckpt")
	want := sampleCheckpoint()
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestCheckpoint_SaveFullDisk$", "-test.v")
	cmd.Env = append(os.Environ(), fullDisk+"="+path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), "SKIP") {
		t.Skipf("%s", out)
	}
	got, err := train.LoadCheckpoint(path)
	if err != nil {
		t.Fatal(err)
	}
	sameCheckpoint(t, got, want)
	if l := files(t, dir); len(l) != 1 {
		t.Errorf("the failed write left %v", l)
	}
}
