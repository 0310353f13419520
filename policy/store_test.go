package policy

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

const withStore = `name: clinic
store:
  memory: 4GiB
  disk: 20GiB
  owner: {bytes: 2GiB, models: 7, loads: 3}
  load: {time: 30s}
callers:
  - {name: acme, api_key: "sha256:77be8ba1aed8ba0ba1b6ad0a1bb1d3ba0ba1b6ad0a1bb1d3ba0ba1b6ad0a1bb1", may: [upload, delete, list]}
`

const smallStore = "name: clinic\nstore: {memory: 8MiB}\n"

func TestParseStore(t *testing.T) {
	want := &Store{Memory: 4 << 30, Disk: 20 << 30, OwnerBytes: 2 << 30, OwnerModels: 7, OwnerLoads: 3, LoadTime: 30 * time.Second, Line: 3}
	if s := parse(t, withStore).Store; !reflect.DeepEqual(s, want) || s.Holds() != 20<<30 {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
	want = &Store{Memory: 8 << 20, OwnerBytes: 2 << 20, OwnerModels: DefaultOwnerModels, OwnerLoads: DefaultOwnerLoads, LoadTime: DefaultLoadTime, Line: 2}
	if s := parse(t, smallStore).Store; !reflect.DeepEqual(s, want) || s.Holds() != 8<<20 {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
	if s := parse(t, "name: clinic\nstore: {memory: 4GiB, disk: 20GiB}\n").Store; s.OwnerBytes != 2<<30 {
		t.Errorf("one owner may have %d bytes, want at most half of the memory", s.OwnerBytes)
	}
	both := parse(t, models+"store: {memory: 1GiB}\n")
	if both.Store == nil || len(both.Models) == 0 {
		t.Errorf("models %v, store %v", both.Models, both.Store)
	}
	if p := parse(t, models); p.Store != nil {
		t.Errorf("a store that the document does not have: %+v", p.Store)
	}
}

func TestStoreActions(t *testing.T) {
	p, none := parse(t, withStore), parse(t, models)
	for request, want := range map[string]Action{
		"POST /v2/repository/uploads": Upload, "PATCH /v2/repository/uploads/7": Upload, "DELETE /v2/repository/uploads/7": Upload, "HEAD /v2/repository/uploads/7": Upload,
		"POST /v2/repository/models/m/load": Upload, "POST /v2/repository/models/m/pin": Upload, "GET /v2/repository": Upload,
		"DELETE /v2/repository/models/m": Delete, "DELETE /v2/repository/models/m/versions/2": Delete, "DELETE /v2/repository/models/": Upload,
		"POST /v2/repository/index": List, "GET /v2/repository/index/": List, "GET /v2/models": List, "GET /v1/models/": List,
		"POST /v2/models/m/infer": Query, "POST /v2/repositoryx": Query, "POST /v1/embeddings": Query,
		"DELETE /v2/repository/models%2Fm": Ambiguous,
	} {
		method, path, _ := strings.Cut(request, " ")
		if got := p.ActionOf(method, path); got != want {
			t.Errorf("%s is %s, expected %s", request, got, want)
		}
		if got := none.ActionOf(method, path); want != List && got != Query || got == Upload || got == Delete {
			t.Errorf("%s without a store is %s, expected %s", request, got, Query)
		}
	}
	for _, a := range []Action{Upload, Delete, List} {
		if !p.Addressed(a) || none.Addressed(a) != (a == List) {
			t.Errorf("%s: addressed %v, without a store %v", a, p.Addressed(a), none.Addressed(a))
		}
	}
}

// TestStoreIsSaid: whoever reads a policy sees that strangers bring code.
func TestStoreIsSaid(t *testing.T) {
	p := parse(t, withStore)
	for _, want := range []string{
		"CALLERS MAY BRING MODELS, which the box runs (line 3): 4 GiB of them ready at once.",
		"Up to 20 GiB of them lie on storage of the host, sealed with keys that are in the box's memory alone.",
		"One caller may have 2 GiB in 7 models, and 3 uploads at once; each is ready within 30s or refused.",
	} {
		if !strings.Contains(p.Describe(), want) {
			t.Errorf("no %q in\n%s", want, p.Describe())
		}
	}
	if s := p.Summary(); !strings.Contains(s, "CALLERS BRING MODELS, 20 GiB") {
		t.Error(s)
	}
	if text := parse(t, smallStore).Describe(); strings.Contains(text, "storage of the host") {
		t.Error(text)
	}
	var sections []string
	for _, d := range p.Demands() {
		sections = append(sections, d.Section)
	}
	if all := strings.Join(sections, " "); !strings.Contains(all, "store") || !strings.Contains(all, "store.disk") {
		t.Error(all)
	}
}
