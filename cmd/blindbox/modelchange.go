package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/client/models"
)

func (s *session) modelRemove() *cobra.Command {
	var o boxFlags
	var version string
	var all bool
	cmd := &cobra.Command{
		Use:   "rm NAME",
		Short: "Take a model of yours out of a box, for good",
		Long: `Take a model of yours out of a box, for good: its memory, the key of its sealed
file, and the file. Of several versions the newest goes, or the one that --version
names; --all takes out every one. What went is printed, and which versions are left.`,
		Args: oneModel,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkAll(all, args[0], version, o.receipt); err != nil {
				return err
			}
			return s.withBox(o, func(c *models.Client) error { return s.remove(cmd.Context(), c, args[0], version, all) })
		},
	}
	addBoxFlags(cmd, &o)
	addReceiptFlag(cmd, &o)
	f := cmd.Flags()
	f.StringVar(&version, "version", "", "version (default: the newest)")
	f.BoolVar(&all, "all", false, "every version of the name, one after the other")
	return cmd
}

// oneModel takes one argument, which can be a model in a box.
func oneModel(cmd *cobra.Command, args []string) error {
	if err := exactly(1, "one NAME, or an id")(cmd, args); err != nil {
		return err
	}
	return checkReference(args[0])
}

// checkReference refuses what no model in a box is called, such as the name of a file.
func checkReference(name string) error {
	if aReference.MatchString(name) {
		return nil
	}
	r := usage("%q, which no model in a box is called", abridge(name))
	r.expected = "the model's name, such as xray or OWNER~xray, or its id, sha256: and 64 digits"
	return r
}

// checkAll refuses what cannot be meant together with all versions of a name.
func checkAll(all bool, name, version, receipt string) error {
	switch {
	case !all:
	case version != "":
		return usage("give --version or --all, not both")
	case strings.HasPrefix(name, "sha256"):
		return usage("--all is for a name: %s is one file, and a name may have versions with others", abridge(name))
	case receipt != "":
		return usage("a receipt is for one request, and --all makes one for each version: delete them one by one, with --version")
	}
	return nil
}

// removed is what `model rm` prints.
type removed struct {
	Asked    string   `json:"deleted"` // as it was named
	Name     string   `json:"name"`
	Versions []string `json:"versions"` // that are gone
	Left     []string `json:"left"`
}

func (s *session) remove(ctx context.Context, c *models.Client, name, version string, all bool) error {
	gone := removed{Asked: name}
	took := func(d models.Deleted) {
		gone.Name, gone.Left = d.Name, append([]string{}, d.Left...)
		gone.Versions = append(gone.Versions, d.Version)
		s.printf("deleted %s version %s  %s\n", oneLine(d.Name), oneLine(d.Version), oneLine(d.ID))
	}
	if all {
		for d, err := range c.DeleteAll(ctx, name) {
			if err != nil {
				return gone.cut(err)
			}
			took(d)
		}
	} else {
		d, err := c.Delete(ctx, name, version)
		if err != nil {
			return err
		}
		took(d)
	}
	if s.json() {
		s.writeJSON(gone)
		return nil
	}
	s.printf("  %s\n", gone.left())
	return nil
}

// left says which versions are left.
func (r *removed) left() string {
	switch list := oneLine(strings.Join(r.Left, ", ")); len(r.Left) {
	case 0:
		return "no version is left"
	case 1:
		return "version " + list + " is left"
	default:
		return "versions " + list + " are left"
	}
}

// cut is the error of all versions when some are gone already.
func (r *removed) cut(err error) error {
	var told *refusal
	if len(r.Versions) > 0 && errors.As(modelRefusal(err, true), &told) {
		told.entry.NotDone = fmt.Sprintf("Deleted are %s: %s. The others were not: %s.", oneLine(r.Name), oneLine(strings.Join(r.Versions, ", ")), r.left())
		return told
	}
	return err
}

// change is a command that changes how ready a model of the caller's is.
type change struct {
	name, short, long string
	do                func(*models.Client, context.Context, string, string) (models.Model, error)
}

func changes() []change {
	const asked = "It is loaded again when it is asked for, which takes as long as its first load did."
	return []change{
		{"load", "Make a model ready before it is asked", "Load a model of a box into its memory, and wait until it is ready. One that takes longer than\n30 seconds to load is made ready so; as long as the policy's store.load.time is given.", (*models.Client).Load},
		{"unload", "Seal a model of yours on the box's disk", "Let a model of yours go from a box's memory to its sealed file: at once, or with its last\nrun. " + asked + "\nThe box needs a disk (store.disk of its policy), and the model must not be pinned.", (*models.Client).Unload},
		{"pin", "Keep a model of yours ready in a box's memory", "", (*models.Client).Pin},
		{"unpin", "Let a model go to the box's sealed storage again", "", (*models.Client).Unpin},
	}
}

func (s *session) modelChange(c change) *cobra.Command {
	var o boxFlags
	var version string
	cmd := &cobra.Command{
		Use:   c.name + " NAME",
		Short: c.short,
		Long:  c.long,
		Args:  oneModel,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.withBox(o, func(box *models.Client) error {
				m, err := c.do(box, cmd.Context(), args[0], version)
				if err != nil {
					return err
				}
				if s.json() {
					s.writeJSON(m)
				}
				s.printf("%s version %s: %s\n", oneLine(m.Name), oneLine(m.Version), state(m))
				return nil
			})
		},
	}
	addBoxFlags(cmd, &o)
	addReceiptFlag(cmd, &o)
	cmd.Flags().StringVar(&version, "version", "", "version (default: the newest)")
	return cmd
}
