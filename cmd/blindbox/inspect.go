package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/nvgpu"
	"github.com/blindbox/blindbox/endorse/need"
	"github.com/blindbox/blindbox/endorse/source"
	"github.com/blindbox/blindbox/internal/inspect"
	"github.com/blindbox/blindbox/policy"
)

func newInspect(s *session) *cobra.Command {
	var kind string
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show every field of evidence, and what it means",
		Long: `Show every field of a saved bundle, of raw evidence of any kind, or of a
certificate, a revocation list, TCB info or an event log: offset, name, value,
meaning, and the specification that says so. It proves nothing: nothing is
verified. That is what ` + "`blindbox verify`" + ` is for.`,
		Args: exactly(1, "one file"),
		RunE: func(_ *cobra.Command, args []string) error { return s.inspect(args[0], kind) },
	}
	cmd.Flags().StringVar(&kind, "kind", "", "kind of the evidence, where its format does not tell")
	return cmd
}

func (s *session) inspect(file, kind string) error {
	sections, err := s.sectionsOf(file, kind)
	if err != nil {
		return err
	}
	if s.json() {
		s.writeJSON(map[string]any{"warning": inspect.Warning, "verified": false, "file": file, "sections": sections})
		return nil
	}
	s.printf("%s\n", inspect.Warning)
	for _, section := range sections {
		s.showSection(section)
	}
	return nil
}

// sectionsOf reads evidence if it is any, and otherwise what can lie beside it.
func (s *session) sectionsOf(file, kind string) ([]inspect.Section, error) {
	data, err := s.readFile(file, attest.MaxBundle)
	if err != nil {
		return nil, err
	}
	got, err := s.recognise(file, data, kind)
	if err != nil {
		if loose, known := inspect.Loose(file, data); kind == "" && known {
			return loose, nil
		}
		if p, bad := policy.Parse(data); kind == "" && bad == nil {
			return inspect.Bundle(attest.Bundle{Policy: p.Bytes()})[1:], nil
		}
		return nil, err
	}
	if err := s.addBeside(&got.bundle, file); err != nil {
		return nil, err
	}
	if got.spdm != nil {
		device, err := deviceKind(file, kind)
		if err != nil {
			return nil, err
		}
		got.devices = []attest.Evidence{nvgpu.Encode(device, got.spdm, nil)}
	}
	var out []inspect.Section
	if got.bundle.Evidence.Kind.Valid() {
		out = inspect.Bundle(got.bundle)
		out = append(out, goesWith(got.bundle.Evidence)...)
	}
	for i, ev := range got.devices {
		sections := inspect.Evidence(ev)
		if got.spdm == nil { // else no certificate says which chip it is
			sections = append(sections, goesWith(ev)...)
		}
		for _, section := range sections {
			section.Title = fmt.Sprintf("device %d of %d: %s", i+1, len(got.devices), section.Title)
			out = append(out, section)
		}
	}
	return out, nil
}

// goesWith shows the labels of what the vendor says about devices, as verify takes
// them with --endorsement; nothing if a report does not name it.
func goesWith(ev attest.Evidence) []inspect.Section {
	parts, err := need.Of(ev, need.Options{})
	if err != nil {
		return nil
	}
	var out []inspect.Section
	for _, part := range parts {
		if part.Kind.Device() {
			out = append(out, inspect.Section{Title: part.Kind.String() + " endorsements, for verify --endorsement LABEL=FILE", Fields: labelsOf(part)})
		}
	}
	return out
}

func labelsOf(part need.Part) []inspect.Field {
	meaning := map[source.Form]string{
		source.FormRIM:  "NVIDIA's manifest of what driver or firmware should measure",
		source.FormOCSP: "NVIDIA's answer whether it withdrew the certificate of that serial number",
	}
	var out []inspect.Field
	for _, plan := range part.Plans {
		for _, o := range plan {
			out = append(out, inspect.Field{Offset: -1, Name: "label", Value: o.Label(), Meaning: meaning[o.Form()]})
		}
	}
	return out
}

func (s *session) showSection(section inspect.Section) {
	s.printf("\n%s", oneLine(section.Title))
	if section.Size > 0 || section.Problem != "" {
		s.printf(", %d bytes", section.Size)
	}
	s.printf("\n")
	if section.Spec != "" {
		s.printf("  by %s\n", section.Spec)
	}
	width := 0
	for _, f := range section.Fields {
		width = min(max(width, len(f.Name)), 40)
	}
	for _, f := range section.Fields {
		place := "       "
		if f.Offset >= 0 {
			place = fmt.Sprintf("0x%04x ", f.Offset)
		}
		s.printf("  %s %-*s  %s\n", place, width, oneLine(f.Name), oneLine(f.Value))
		if f.Meaning != "" {
			s.printf("  %s %s  - %s\n", strings.Repeat(" ", len(place)), strings.Repeat(" ", width), oneLine(f.Meaning))
		}
	}
	if section.Problem != "" {
		s.printf("  PROBLEM %s\n", oneLine(section.Problem))
	}
}
