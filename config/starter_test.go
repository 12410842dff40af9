package config_test

import (
	"testing"

	"github.com/go-nncf/nncf/config"
)

func TestStarter(t *testing.T) {
	for _, kind := range config.StarterKinds() {
		b, err := config.Starter(kind)
		if err != nil {
			t.Fatal(err)
		}
		c, err := config.Parse(kind+".json", b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Algorithms(); err != nil || len(c.Warnings)+len(c.Unused) > 0 {
			t.Errorf("%s: got %v, warnings %v, unused %v, want none", kind, err, c.Warnings, c.Unused)
		}
	}
	if _, err := config.Starter("../schema"); err == nil {
		t.Error("unknown kind: got no error")
	}
}
