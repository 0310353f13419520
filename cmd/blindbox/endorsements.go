package main

import (
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/endorse/cache"
	"github.com/blindbox/blindbox/endorse/fetch"
	"github.com/blindbox/blindbox/internal/catalogue"
)

func newEndorsements(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "endorsements",
		Short: "Fetch, show and serve what vendors sign about their hardware",
		Long: `Verifying a box needs no network: the box staples what AMD, Intel and NVIDIA sign
about its hardware. These commands are for evidence without staples, for seeing
what ends when, and for sites without a way out.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(newEndorsementsFetch(s), newEndorsementsShow(s), newEndorsementsServe(s))
	return cmd
}

func addCacheFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "cache", "", "the cache `directory` (default endorsements in BLINDBOX_HOME)")
}

// openCache opens the cache directory of the flag, or the user's own.
func (s *session) openCache(dir string) (*cache.Dir, error) {
	if dir == "" {
		home, err := s.home()
		if err != nil {
			return nil, err
		}
		dir = filepath.Join(home, "endorsements")
	}
	d, err := cache.Open(dir, 0)
	if err != nil {
		return nil, fail(catalogue.CodeFile, "cache", err.Error(), "a directory that can be written")
	}
	return d, nil
}

// endorsementErrors are all that went wrong; errors.Join keeps them in a tree.
func endorsementErrors(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok && !isFetchError(err) {
		var out []error
		for _, e := range many.Unwrap() {
			out = append(out, endorsementErrors(e)...)
		}
		return out
	}
	return []error{err}
}

func isFetchError(err error) bool {
	_, ok := err.(*fetch.Error)
	return ok
}

// endorsementFailure makes one refusal of them, the first in front. What a
// vendor did not give is unavailable; what was refused outweighs it.
func endorsementFailure(err error) error {
	var checks []attest.Check
	for _, e := range endorsementErrors(err) {
		var failure *attest.Failure
		var unavailable *fetch.Error
		switch {
		case errors.As(e, &failure):
			checks = append(failure.Failed(), checks...)
		case errors.As(e, &unavailable):
			checks = append(checks, unavailable.Check())
		case errors.Is(e, attest.ErrUnavailable):
			checks = append(checks, attest.Check{Name: "endorsements.fetch", Code: fetch.CodeUnavailable, Seen: e.Error()})
		default:
			return fail(attest.CodeMalformed, "endorsements", e.Error(), "")
		}
	}
	r := fromFailure(&attest.Failure{Checks: checks})
	r.contacted = false // no box was
	return r
}
