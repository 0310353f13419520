package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/internal/catalogue"
)

// maxManifest bounds a manifest in bytes.
const maxManifest = 64 << 10

type importOptions struct {
	out, name, policy string
	force             bool
}

func newTrustImport(s *session) *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Turn a BlindAI manifest.toml into a trust file for SGX",
		Args:  exactly(1, "one file, manifest.toml or policy.toml of a BlindAI client"),
		RunE:  func(_ *cobra.Command, args []string) error { return s.trustImport(args[0], o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.out, "out", defaultTrust, "file to write; - is standard output")
	f.StringVar(&o.name, "name", "", "name of this version (default: blindai)")
	f.StringVar(&o.policy, "policy", "", "policy of the box to pin, box.yaml (default: any policy is accepted)")
	f.BoolVar(&o.force, "force", false, "overwrite the file")
	return cmd
}

func (s *session) trustImport(file string, o importOptions) error {
	manifest, err := s.readFile(file, maxManifest)
	if err != nil {
		return err
	}
	var policy []byte
	if o.policy != "" {
		if policy, err = s.readFile(o.policy, maxTrust); err != nil {
			return err
		}
	}
	trust, err := appraise.FromBlindAIManifest(manifest, policy, o.name)
	if err != nil {
		return fail(catalogue.CodeBadTrust, "trust", file+": "+strings.TrimPrefix(err.Error(), "appraise: "), "a BlindAI manifest")
	}
	if o.out == "-" {
		if _, err := s.stdout.Write(trust.Marshal()); err != nil {
			return fail(catalogue.CodeFile, "file", err.Error(), "")
		}
		return nil
	}
	if err := s.writeFile(o.out, trust.Marshal(), 0o644, o.force); err != nil {
		return err
	}
	if s.json() {
		s.writeJSON(map[string]any{"written": o.out, "names": trust.Names()})
		return nil
	}
	_, err = s.stdout.Write([]byte("written: " + o.out + "\n"))
	return err
}
