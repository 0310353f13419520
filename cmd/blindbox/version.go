package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// buildDocument says which build this is.
type buildDocument struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func build() buildDocument {
	b := buildDocument{Version: "unreleased", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, kv := range info.Settings {
		switch kv.Key {
		case "vcs.revision":
			b.Revision = kv.Value
		case "vcs.modified":
			b.Modified = kv.Value == "true"
		}
	}
	return b
}

func newVersion(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this build",
		Args:  exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			b := build()
			if s.json() {
				s.writeJSON(b)
				return nil
			}
			s.printf("blindbox %s %s %s\n", b.Version, b.Go, b.Platform)
			if b.Revision != "" {
				s.printf("  revision   %s\n", b.Revision)
			}
			return nil
		},
	}
}
