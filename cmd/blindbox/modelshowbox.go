package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/blindbox/blindbox/client/models"
	"github.com/blindbox/blindbox/internal/sizes"
	"github.com/blindbox/blindbox/policy"
)

// aReference is how a model in a box can be named: NAME, OWNER~NAME, or an id.
var aReference = regexp.MustCompile(`^([A-Za-z0-9._-]*~)?[A-Za-z0-9][A-Za-z0-9._-]*$|^sha256:[0-9a-f]+$`)

// isInBox says whether what is to be shown is a model in a box: --box says so, and without
// it a name under which there is no file, if a box is named by the environment.
func (s *session) isInBox(o boxFlags, what string) bool {
	if o.box != "" {
		return true
	}
	if s.env(boxVariable) == "" || !aReference.MatchString(what) {
		return false
	}
	if _, err := os.Lstat(what); err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	s.note("%s is shown as the file that is here; --box is for the model of that name in a box\n", oneLine(what))
	return false
}

// shownInBox is what `model show` prints of a model in a box. Model is nil for a caller
// that may not list models, Inputs and Outputs for one that may not query this one.
type shownInBox struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	ID       string   `json:"id"`
	Versions []string `json:"versions,omitempty"` // that the caller may know of, the oldest first
	*models.Model
	Platform string       `json:"platform,omitempty"`
	Files    []boxFile    `json:"files,omitempty"` // of a pipeline
	Labels   string       `json:"labels,omitempty"`
	Inputs   []shownValue `json:"inputs,omitempty"`
	Outputs  []shownValue `json:"outputs,omitempty"`
	Ask      string       `json:"ask,omitempty"` // the command line
}

func (s *session) modelShowInBox(ctx context.Context, o boxFlags, name, version string) error {
	err := s.withBox(o, func(c *models.Client) error {
		shown, err := inBox(ctx, c, name, version)
		if err != nil {
			return err
		}
		s.writeInBox(shown)
		return nil
	})
	var told *refusal
	if errors.As(err, &told) && o.box == "" {
		told.entry.Fix = strings.TrimSpace(told.entry.Fix + " There is no file " + oneLine(abridge(name)) + " here, so the box was asked that " + boxVariable + " names.")
	}
	return err
}

// inBox joins what a list says of a model, before it is loaded to be described, with its
// description. Either may be refused to a caller that may have the other.
func inBox(ctx context.Context, c *models.Client, name, version string) (*shownInBox, error) {
	var list []models.Model
	allowed, _ := may(ctx, c) // what is wrong, the next request tells better
	if slices.Contains(allowed, policy.List) {
		var err error
		if list, err = c.List(ctx); err != nil {
			return nil, err
		}
	}
	d, err := c.Describe(ctx, name, version)
	var said *models.Error
	switch {
	case errors.As(err, &said) && said.Status == http.StatusForbidden:
		m := ofList(list, name, version)
		if m == nil {
			return nil, err
		}
		shown := &shownInBox{Name: m.Name, Version: m.Version, ID: m.ID}
		shown.add(list)
		return shown, nil
	case err != nil:
		return nil, err
	}
	shown := &shownInBox{
		Name: d.Name, Version: strings.Join(d.Versions, ", "), ID: "sha256:" + d.Parameters["sha256"], Platform: d.Platform, Labels: d.Parameters["labels"],
		Files: filesOf(d), Inputs: valuesOf(d.Inputs), Outputs: valuesOf(d.Outputs), Ask: askLine(d),
	}
	shown.add(list)
	return shown, nil
}

// add is what a list says of the model and its other versions.
func (b *shownInBox) add(list []models.Model) {
	b.Model = ofList(list, b.Name, b.Version)
	var versions []int
	for _, m := range list {
		if n, err := strconv.Atoi(m.Version); err == nil && m.Name == b.Name {
			versions = append(versions, n)
		}
	}
	slices.Sort(versions)
	for _, n := range versions {
		b.Versions = append(b.Versions, strconv.Itoa(n))
	}
}

// ofList finds the newest model that is called so, or has this id; nil if there is none.
func ofList(list []models.Model, name, version string) (found *models.Model) {
	newest := -1
	for i, m := range list {
		if m.Name != name && m.Owner+"~"+m.Name != name && m.ID != name || version != "" && m.Version != version {
			continue
		}
		if n, err := strconv.Atoi(m.Version); err == nil && n > newest {
			newest, found = n, &list[i]
		}
	}
	return found
}

type boxFile struct {
	Name   string `json:"name"`
	Digest string `json:"sha256"`
}

// filesOf are the files of a pipeline, by their names.
func filesOf(d models.Description) (files []boxFile) {
	for key, sum := range d.Parameters {
		if name, ok := strings.CutPrefix(key, "sha256/"); ok {
			files = append(files, boxFile{name, sum})
		}
	}
	slices.SortFunc(files, func(a, b boxFile) int { return strings.Compare(a.Name, b.Name) })
	return files
}

// valuesOf are inputs or outputs as a file's are shown; what is open has no size.
func valuesOf(list []models.Value) []shownValue {
	out := make([]shownValue, len(list))
	for i, v := range list {
		out[i] = shownValue{Name: v.Name, Type: v.Datatype, Shape: []any{}}
		for _, n := range v.Shape {
			var size any
			if n >= 0 {
				size = n
			}
			out[i].Shape = append(out[i].Shape, size)
		}
	}
	return out
}

func (s *session) writeInBox(b *shownInBox) {
	if s.json() {
		s.writeJSON(b)
		return
	}
	s.printf("model       %s version %s\n", oneLine(b.Name), oneLine(b.Version))
	if len(b.Versions) > 1 {
		s.printf("versions    %s\n", oneLine(strings.Join(b.Versions, ", ")))
	}
	s.printf("id          %s\n", oneLine(b.ID))
	if b.Model != nil {
		s.writeCard(*b.Model)
	} else {
		s.printf("state       the policy does not let you list models, which would tell\n")
	}
	if b.Inputs == nil {
		s.printf("inputs      the policy does not let you query the model, which would tell\n")
		return
	}
	if b.Labels != "" {
		s.printf("labels      %s\n", oneLine(b.Labels))
	}
	if len(b.Files) > 0 {
		s.printf("pipeline\n")
	}
	for _, f := range b.Files {
		s.printf("  %s  %s\n", abridge(f.Digest), oneLine(f.Name))
	}
	s.writeValues("inputs", b.Inputs)
	s.writeValues("outputs", b.Outputs)
	s.printf("ask         %s\n", b.Ask)
}

// writeCard prints what a list has of a model.
func (s *session) writeCard(m models.Model) {
	whose := "yours, " + oneLine(m.Visibility)
	switch {
	case m.Owner == "":
		whose = "the box's"
	case strings.Contains(m.Name, "~"):
		whose = oneLine(m.Owner) + "'s, " + oneLine(m.Visibility)
	}
	s.printf("whose       %s\n", whose)
	s.printf("state       %s\n", state(m))
	s.printf("size        %s\n", sizes.Of(m.Size))
	if m.Memory > 0 {
		s.printf("memory      %s when it is loaded\n", sizes.Of(m.Memory))
	}
	if m.Uploaded != "" {
		s.printf("uploaded    %s\n", oneLine(m.Uploaded))
	}
}
