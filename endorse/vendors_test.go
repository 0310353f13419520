package endorse_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/nvgpu"
	"github.com/blindbox/blindbox/attest/pcs"
	"github.com/blindbox/blindbox/attest/snp"
	"github.com/blindbox/blindbox/endorse"
	"github.com/blindbox/blindbox/endorse/cache"
	"github.com/blindbox/blindbox/endorse/fetch"
	"github.com/blindbox/blindbox/endorse/need"
	"github.com/blindbox/blindbox/endorse/source"
)

// vendors is one server that answers in the place of all vendors.
type vendors struct {
	t   *testing.T
	url string

	mu      sync.Mutex
	now     time.Time
	answers map[string]answer // by source.Object.Key
	asked   map[string]int
	broken  int // status of every answer, 0 for none
}

type answer struct {
	data, chain []byte
}

func newVendors(t *testing.T) *vendors {
	t.Helper()
	v := &vendors{t: t, now: attesttest.Epoch(), answers: map[string]answer{}, asked: map[string]int{}}
	srv := httptest.NewServer(v)
	t.Cleanup(srv.Close)
	v.url = srv.URL
	return v
}

func (v *vendors) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	o, err := source.FromRequest(r.URL.Path, r.URL.RawQuery, body)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked[o.Key()]++
	a, ok := v.answers[o.Key()]
	switch {
	case v.broken != 0:
		w.WriteHeader(v.broken)
	case err != nil || !ok:
		w.WriteHeader(http.StatusNotFound)
	default:
		if name := o.IssuerHeader(); name != "" {
			w.Header().Set(name, url.PathEscape(string(a.chain)))
		}
		w.Write(o.Wrap(a.data))
	}
}

func (v *vendors) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

// pass lets time pass.
func (v *vendors) pass(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = v.now.Add(d)
}

func (v *vendors) Sleep(ctx context.Context, d time.Duration) error {
	v.pass(d)
	return ctx.Err()
}

// fail makes every answer one with that status.
func (v *vendors) fail(status int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.broken = status
}

func (v *vendors) set(o source.Object, data, chain []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answers[o.Key()] = answer{data, chain}
}

func (v *vendors) count(o source.Object) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.asked[o.Key()]
}

// publish hands out everything that the evidence needs, from what would be
// stapled to it, and returns the objects.
func (v *vendors) publish(ev attest.Evidence, end attest.Endorsements) []source.Object {
	v.t.Helper()
	parts, err := need.Of(ev, need.Options{})
	if err != nil {
		v.t.Fatal(err)
	}
	var out []source.Object
	for _, p := range parts {
		plan := p.Plans[len(p.Plans)-1]
		for i := 0; i < len(plan); i++ {
			o := plan[i]
			out = append(out, o)
			data, found, _ := end.Get(o.Label())
			if !found {
				continue
			}
			plan = append(plan, need.After(o, data)...)
			chain, _, _ := end.Get(attest.LabelIntelTCBChain)
			if o.Label() == attest.LabelIntelPCKCRL {
				chain, _, _ = end.Get(labelPCKCA)
			}
			v.set(o, data, chain)
		}
	}
	return out
}

// labelPCKCA is where these tests keep the CA of the PCK and the root, PEM.
const labelPCKCA = "test/pck-ca"

// roots are the test vendors' own.
func roots(t *testing.T) endorse.Roots {
	t.Helper()
	var amd []snp.Root
	for _, line := range []attesttest.Line{attesttest.Milan, attesttest.Genoa} {
		r := attesttest.New().Roots(t, line)
		product, err := snp.ParseProduct(line.String())
		if err != nil {
			t.Fatal(err)
		}
		amd = append(amd, snp.Root{Product: product, ARK: r.ARK.Raw, ASK: r.ASK.Raw, ASVK: r.ASVK.Raw})
	}
	device, rim := attesttest.NewNVIDIA().Roots(t)
	var out endorse.Roots
	var errs [4]error
	out.AMD, errs[0] = snp.NewVerifierWithRoots(attest.SNP, amd...)
	out.Intel, errs[1] = pcs.NewVerifierWithRoot(attesttest.NewIntel().Root(t))
	out.GPU, errs[2] = nvgpu.NewVerifierWithRoots(attest.NVIDIAGPU, nvgpu.Roots{Device: device, RIM: rim})
	out.Switch, errs[3] = nvgpu.NewVerifierWithRoots(attest.NVSwitch, nvgpu.Roots{Device: device, RIM: rim})
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return out
}

// fetcher returns a Fetcher of the server with a cache in dir; "" means none.
func (v *vendors) fetcher(dir string, change ...func(*endorse.Options)) *endorse.Fetcher {
	v.t.Helper()
	opt := endorse.Options{Roots: roots(v.t), Fetch: fetch.Options{Mirror: v.url, Now: v.Now, Sleep: v.Sleep, Attempts: 2}}
	if dir != "" {
		opt.Cache = v.cache(dir)
	}
	for _, c := range change {
		c(&opt)
	}
	f, err := endorse.New(opt)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(f.Wait)
	return f
}

func (v *vendors) cache(dir string) *cache.Dir {
	v.t.Helper()
	d, err := cache.Open(dir, 0)
	if err != nil {
		v.t.Fatal(err)
	}
	return d
}

func refresh(o *endorse.Options) { o.Refresh = true }

func codeOf(err error) attest.Code {
	var f *attest.Failure
	var e *fetch.Error
	switch {
	case errors.As(err, &f):
		return f.Code()
	case errors.As(err, &e):
		return e.Code
	}
	return ""
}
