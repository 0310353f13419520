package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/endorse"
	"github.com/blindbox/blindbox/endorse/fetch"
	"github.com/blindbox/blindbox/endorse/source"
)

type fetchOptions struct {
	cache   string
	from    string
	kinds   []string
	fmspc   []string
	early   bool
	timeout time.Duration
}

func newEndorsementsFetch(s *session) *cobra.Command {
	var o fetchOptions
	cmd := &cobra.Command{
		Use:   "fetch [URL | FILE]",
		Short: "Fetch what evidence needs, verify it and keep it",
		Long: `Fetch the certificates, revocation lists, TCB data and manifests that the evidence
of a box (URL) or in a FILE needs; with --kind, what all machines of a kind need.
Each object is verified up to the vendor's root before it is kept, and refused if
it is older than one that was seen before. An object that is in force stays in the
cache if a newer one cannot be had.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.endorsementsFetch(cmd.Context(), args, o)
		},
	}
	addCacheFlag(cmd, &o.cache)
	f := cmd.Flags()
	f.StringVar(&o.from, "endorsements-from", "", "fetch from this mirror (http://HOST:PORT), not from the vendors")
	f.StringSliceVar(&o.kinds, "kind", nil, "without evidence: sev-snp, tdx or sgx")
	f.StringSliceVar(&o.fmspc, "fmspc", nil, "with --kind tdx or sgx: platform types, 12 hex digits each")
	f.BoolVar(&o.early, "early", false, "with --fmspc: also the TCB data that Intel will enforce later, for `endorsements show`")
	f.DurationVar(&o.timeout, "timeout", fetch.DefaultTotal, "how long to wait for all of it")
	return cmd
}

// fetched is what one command got.
type fetched struct {
	items []endorse.Item
	errs  []error
}

func (s *session) endorsementsFetch(ctx context.Context, args []string, o fetchOptions) error {
	if (len(args) == 0) == (len(o.kinds) == 0) {
		return usage("expected one URL or FILE, or --kind")
	}
	if o.timeout <= 0 {
		return usage("--timeout %s, expected more than none", o.timeout)
	}
	dir, err := s.openCache(o.cache)
	if err != nil {
		return err
	}
	defer dir.Close()
	f, err := endorse.New(endorse.Options{
		Cache: dir, Refresh: true, Fetch: fetch.Options{Mirror: o.from, Total: o.timeout, Now: s.now},
	})
	if err != nil {
		return usage("%v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	var got fetched
	if len(args) == 1 {
		all, err := s.evidenceAt(ctx, args[0])
		if err != nil {
			return err
		}
		for _, ev := range all {
			items, err := f.Items(ctx, ev, nil)
			got.items, got.errs = append(got.items, items...), append(got.errs, wrapped(err)...)
		}
	} else {
		objects, err := objectsOf(o)
		if err != nil {
			return err
		}
		for _, obj := range objects {
			it, err := f.Get(ctx, obj, attest.Evidence{})
			if err != nil {
				got.errs = append(got.errs, err)
				continue
			}
			got.items = append(got.items, it)
		}
	}
	return s.showFetched(got)
}

func wrapped(err error) []error {
	if err == nil {
		return nil
	}
	return []error{err}
}

// evidenceAt returns the evidence of a box or in a file, which may hold that of
// several devices. It is not verified: it only names what to fetch.
func (s *session) evidenceAt(ctx context.Context, where string) ([]attest.Evidence, error) {
	if !isURL(where) {
		data, err := s.readFile(where, attest.MaxBundle)
		if err != nil {
			return nil, err
		}
		found, err := s.recognise(where, data, "")
		if err != nil {
			return nil, err
		}
		if len(found.devices) > 0 {
			return found.devices, nil
		}
		return []attest.Evidence{found.bundle.Evidence}, nil
	}
	u, err := boxURL(where)
	if err != nil {
		return nil, err
	}
	_, bundle, err := handshake(ctx, nil, u, s.now, nil)
	return []attest.Evidence{bundle.Evidence}, err
}

// objectsOf names what all machines of a kind need.
func objectsOf(o fetchOptions) ([]source.Object, error) {
	var out []source.Object
	var errs []error
	add := func(obj source.Object, err error) { out, errs = append(out, obj), append(errs, err) }
	for _, kind := range o.kinds {
		switch kind {
		case attest.SNP.String():
			for _, line := range source.Lines() {
				add(source.AMDCRL(line, false))
				add(source.AMDCRL(line, true))
			}
		case attest.TDX.String(), attest.SGX.String():
			add(source.IntelRootCRL(), nil)
			add(source.PCKCRL("platform"))
			add(source.PCKCRL("processor"))
			for _, u := range updates(o.early) {
				add(source.QEIdentity(source.TEE(kind), u))
				for _, text := range o.fmspc {
					add(tcbInfoOf(source.TEE(kind), text, u))
				}
			}
		default:
			return nil, usage("--kind %s, expected sev-snp, tdx or sgx; other kinds need evidence, and AWS Nitro Enclaves need nothing", kind)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, usage("%v", err)
	}
	return out, nil
}

func updates(early bool) []source.Update {
	if early {
		return []source.Update{source.Standard, source.Early}
	}
	return []source.Update{source.Standard}
}

func tcbInfoOf(tee source.TEE, text string, u source.Update) (source.Object, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 6 {
		return source.Object{}, fmt.Errorf("--fmspc %.20q, expected 12 hex digits", text)
	}
	return source.TCBInfo(tee, [6]byte(raw), u)
}

// fetchedDocument is -o json of fetch.
type fetchedDocument struct {
	What  string    `json:"what"`
	Host  string    `json:"host"`
	Label string    `json:"label"`
	Until time.Time `json:"until,omitzero"`
	Kept  string    `json:"kept,omitempty"` // why the one in the cache was not replaced
}

func (s *session) showFetched(got fetched) error {
	docs := make([]fetchedDocument, 0, len(got.items))
	for _, it := range got.items {
		d := fetchedDocument{What: it.Object.What(), Host: it.Object.Host().String(), Label: it.Object.Label(), Until: it.Facts.Until.UTC()}
		state := "fetched"
		if it.Kept != nil {
			state, d.Kept = "kept", it.Kept.Error()
			s.note("%s\n", oneLine(strings.TrimPrefix(d.Kept, "fetch: ")))
		}
		docs = append(docs, d)
		s.printf("  %-10s %s%s\n", state, d.What, until(d.Until))
	}
	if len(got.errs) > 0 {
		return endorsementFailure(errors.Join(got.errs...))
	}
	if len(docs) == 0 {
		s.printf("this evidence needs nothing that would have to be fetched\n")
	}
	if s.json() {
		s.writeJSON(map[string]any{"fetched": docs})
	}
	return nil
}

func until(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return ", until " + t.Format(time.DateOnly)
}
