package config

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed starter/*.json
var starters embed.FS

// StarterKinds lists the kinds of [Starter].
func StarterKinds() []string { return []string{"int8", "unlabelled", "float"} }

// Starter returns a configuration with comments to begin with: "int8" and
// "unlabelled" compress a trained model, with and without labels, "float" trains a
// network from random weights.
func Starter(kind string) ([]byte, error) {
	b, err := starters.ReadFile("starter/" + kind + ".json")
	if err != nil {
		return nil, fmt.Errorf("got kind %q, want one of %s", kind, strings.Join(StarterKinds(), ", "))
	}
	return b, nil
}
