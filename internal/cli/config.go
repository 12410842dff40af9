package cli

import (
	"fmt"

	"github.com/go-nncf/nncf/config"
)

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Report everything that is wrong with a configuration."`
}

type configCheckCmd struct {
	File string `arg:"" help:"Configuration file." type:"path"`
}

func (c *configCheckCmd) Run(s *session) error {
	cfg, err := config.Load(c.File)
	if err != nil {
		return err
	}
	if _, err := cfg.Algorithms(); err != nil {
		return err
	}
	if err := cfg.TrainOptions().Validate(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%s: ok\n", c.File)
	return err
}
