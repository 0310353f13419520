package oci_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/box/sandbox/oci"
	"github.com/blindbox/blindbox/box/sandbox/ociforge"
)

const amd64 = "amd64"

func good(t testing.TB) ociforge.Image {
	t.Helper()
	layer, err := ociforge.Tar(ociforge.File("app", "1"))
	if err != nil {
		t.Fatal(err)
	}
	plain := ociforge.Layer{MediaType: ociforge.MediaTar, Stored: layer, DiffID: ociforge.Digest(layer)}
	return ociforge.Image{
		Layers: []ociforge.Layer{ociforge.Packed(layer), plain}, User: "app:staff", Env: []string{"A=b=c"}, Entrypoint: []string{"/app"}, Cmd: []string{"x"}, WorkDir: "/srv",
		Config: func(c map[string]any) { c["architecture"] = amd64 },
	}
}

func written(t testing.TB, im ociforge.Image) (dir string, d oci.Digest) {
	t.Helper()
	dir = t.TempDir()
	s, err := im.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d, err = oci.ParseDigest(s); err != nil {
		t.Fatal(err)
	}
	return dir, d
}

// archive packs a folder into a tar file.
func archive(t testing.TB, dir string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image.tar")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(f)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestOpen(t *testing.T) {
	im := good(t)
	dir, digest := written(t, im)
	for what, name := range map[string]string{"a folder": dir, "an archive": archive(t, dir)} {
		got, err := oci.Open(name, digest, "linux", amd64, oci.DefaultLimits())
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		defer got.Close()
		c := got.Config
		if c.User != "app:staff" || c.Env[0] != "A=b=c" || c.Entrypoint[0] != "/app" || c.Cmd[0] != "x" || c.WorkingDir != "/srv" || got.Digest != digest {
			t.Errorf("%s: configuration %+v", what, c)
		}
		if len(got.Layers) != 2 || got.Layers[0].Compression != oci.Gzip || got.Layers[1].Compression != oci.Plain || got.Layers[0].DiffID != got.Layers[1].DiffID {
			t.Errorf("%s: layers %+v", what, got.Layers)
		}
		for i, l := range im.Layers {
			var buf bytes.Buffer
			if err := got.Copy(i, &buf); err != nil || !bytes.Equal(buf.Bytes(), l.Stored) {
				t.Errorf("%s: layer %d: %v", what, i, err)
			}
		}
		for _, i := range []int{-1, 2} {
			if got.Copy(i, &bytes.Buffer{}) == nil {
				t.Errorf("%s: layer %d", what, i)
			}
		}
	}
}

// TestDocker: the same image by the names that Docker gives things.
func TestDocker(t *testing.T) {
	im := good(t)
	im.Layers = im.Layers[:1]
	im.Layers[0].MediaType = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	im.Manifest = func(m map[string]any) {
		m["mediaType"] = oci.MediaDockerManifest
		m["config"].(map[string]any)["mediaType"] = "application/vnd.docker.container.image.v1+json"
	}
	dir, digest := written(t, im)
	got, err := oci.Open(dir, digest, "linux", amd64, oci.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	got.Close()
}

func manifest(f func(map[string]any)) func(*ociforge.Image) {
	return func(im *ociforge.Image) { im.Manifest = f }
}

func config(f func(map[string]any)) func(*ociforge.Image) {
	return func(im *ociforge.Image) {
		im.Config = func(c map[string]any) {
			c["architecture"] = amd64
			f(c)
		}
	}
}

func layerType(mediaType string) func(*ociforge.Image) {
	return func(im *ociforge.Image) { im.Layers[1].MediaType = mediaType }
}

// TestRefused: images that the digest is right of and that are none.
func TestRefused(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*ociforge.Image)
		why    error
	}{
		"an index":         {manifest(func(m map[string]any) { m["mediaType"] = oci.MediaIndex }), oci.ErrMediaType},
		"Docker's index":   {manifest(func(m map[string]any) { m["mediaType"] = oci.MediaDockerIndex }), oci.ErrMediaType},
		"another manifest": {manifest(func(m map[string]any) { m["mediaType"] = "application/json" }), oci.ErrMediaType},
		"schema 1":         {manifest(func(m map[string]any) { m["schemaVersion"] = 1 }), oci.ErrMalformed},
		"no config":        {manifest(func(m map[string]any) { delete(m, "config") }), oci.ErrMalformed},
		"no layers":        {manifest(func(m map[string]any) { delete(m, "layers") }), oci.ErrMalformed},
		"an empty list":    {manifest(func(m map[string]any) { m["layers"] = []any{} }), oci.ErrMalformed},
		"an artifact": {manifest(func(m map[string]any) {
			m["config"].(map[string]any)["mediaType"] = "application/vnd.oci.empty.v1+json"
		}), oci.ErrMediaType},
		"many layers":            {manifest(func(m map[string]any) { m["layers"] = repeat(m["layers"].([]any)[0], 6) }), oci.ErrTooLarge},
		"a large layer":          {manifest(func(m map[string]any) { m["layers"].([]any)[1].(map[string]any)["size"] = 1 << 30 }), oci.ErrTooLarge},
		"a layer below none":     {manifest(func(m map[string]any) { m["layers"].([]any)[1].(map[string]any)["size"] = -1 }), oci.ErrMalformed},
		"a layer of no digest":   {manifest(func(m map[string]any) { m["layers"].([]any)[1].(map[string]any)["digest"] = "" }), oci.ErrUnsupported},
		"a config of no digest":  {manifest(func(m map[string]any) { m["config"].(map[string]any)["digest"] = "sha512:00" }), oci.ErrUnsupported},
		"a config of its size":   {manifest(func(m map[string]any) { m["config"].(map[string]any)["size"] = 3 }), oci.ErrSize},
		"a config that is large": {manifest(func(m map[string]any) { m["config"].(map[string]any)["size"] = 2 << 20 }), oci.ErrTooLarge},
		"a config of another":    {manifest(func(m map[string]any) { m["config"].(map[string]any)["digest"] = ociforge.Digest(nil) }), oci.ErrMissing},
		"zstd":                   {layerType("application/vnd.oci.image.layer.v1.tar+zstd"), oci.ErrMediaType},
		"encrypted":              {layerType("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"), oci.ErrMediaType},
		"kept elsewhere":         {layerType("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), oci.ErrMediaType},
		"not to be distributed":  {layerType("application/vnd.oci.image.layer.nondistributable.v1.tar"), oci.ErrMediaType},
		"no media type":          {layerType(""), oci.ErrMediaType},
		"another architecture":   {config(func(c map[string]any) { c["architecture"] = "arm64" }), oci.ErrPlatform},
		"another system":         {config(func(c map[string]any) { c["os"] = "windows" }), oci.ErrPlatform},
		"no rootfs":              {config(func(c map[string]any) { delete(c, "rootfs") }), oci.ErrMalformed},
		"another rootfs":         {config(func(c map[string]any) { c["rootfs"].(map[string]any)["type"] = "snapshot" }), oci.ErrMalformed},
		"a diff id too few":      {func(im *ociforge.Image) { im.Layers[1].DiffID = "" }, oci.ErrMalformed},
		"a diff id of no form":   {func(im *ociforge.Image) { im.Layers[1].DiffID = "sha256:AB" }, oci.ErrMalformed},
		"a variable of no form":  {func(im *ociforge.Image) { im.Env = []string{"A"} }, oci.ErrMalformed},
		"a variable of no name":  {func(im *ociforge.Image) { im.Env = []string{"=b"} }, oci.ErrMalformed},
		"a zero in a variable":   {func(im *ociforge.Image) { im.Env = []string{"A=\x00"} }, oci.ErrMalformed},
		"a zero in the command":  {func(im *ociforge.Image) { im.Cmd = []string{"\x00"} }, oci.ErrMalformed},
		"a zero in the user":     {func(im *ociforge.Image) { im.User = "\x00" }, oci.ErrMalformed},
	} {
		t.Run(what, func(t *testing.T) {
			im := good(t)
			c.change(&im)
			dir, digest := written(t, im)
			lim := oci.Limits{Manifest: 1 << 20, Layers: 5, Layer: 1 << 20, Entries: 100}
			if _, err := oci.Open(dir, digest, "linux", amd64, lim); !errors.Is(err, c.why) {
				t.Errorf("error %v, expected %v", err, c.why)
			}
		})
	}
}

func repeat(v any, n int) []any {
	var out []any
	for range n {
		out = append(out, v)
	}
	return out
}

// TestTampered: a stranger changes a layout whose digest is known.
func TestTampered(t *testing.T) {
	for what, c := range map[string]struct {
		change func(t *testing.T, dir string, blob func(i int) string)
		why    error
	}{
		"the manifest": {func(t *testing.T, _ string, blob func(int) string) {
			rewrite(t, blob(-2), func(b []byte) []byte { return append(b, ' ') })
		}, oci.ErrDigest},
		"no manifest": {func(t *testing.T, _ string, blob func(int) string) { remove(t, blob(-2)) }, oci.ErrMissing},
		"a manifest too large": {func(t *testing.T, _ string, blob func(int) string) {
			rewrite(t, blob(-2), func([]byte) []byte { return make([]byte, 5<<20) })
		}, oci.ErrTooLarge},
		"the configuration": {func(t *testing.T, _ string, blob func(int) string) { rewrite(t, blob(-1), flip) }, oci.ErrDigest},
		"a layer":           {func(t *testing.T, _ string, blob func(int) string) { rewrite(t, blob(0), flip) }, oci.ErrDigest},
		"a longer layer": {func(t *testing.T, _ string, blob func(int) string) {
			rewrite(t, blob(0), func(b []byte) []byte { return append(b, 1) })
		}, oci.ErrSize},
		"a shorter layer": {func(t *testing.T, _ string, blob func(int) string) {
			rewrite(t, blob(0), func(b []byte) []byte { return b[1:] })
		}, oci.ErrSize},
		"no layer":             {func(t *testing.T, _ string, blob func(int) string) { remove(t, blob(0)) }, oci.ErrMissing},
		"a link for a layer":   {func(t *testing.T, _ string, blob func(int) string) { relink(t, blob(0)) }, oci.ErrNotAFile},
		"a folder for a layer": {func(t *testing.T, _ string, blob func(int) string) { remove(t, blob(0)); mkdir(t, blob(0)) }, oci.ErrNotAFile},
	} {
		t.Run(what, func(t *testing.T) {
			im := good(t)
			dir, digest := written(t, im)
			_, conf, err := im.Documents()
			if err != nil {
				t.Fatal(err)
			}
			c.change(t, dir, func(i int) string {
				name := map[int]string{-2: digest.String(), -1: ociforge.Digest(conf), 0: ociforge.Digest(im.Layers[0].Stored)}[i]
				return filepath.Join(dir, ociforge.Blob(name))
			})
			got, err := oci.Open(dir, digest, "linux", amd64, oci.DefaultLimits())
			if err == nil {
				defer got.Close()
				err = got.Copy(0, &bytes.Buffer{})
			}
			if !errors.Is(err, c.why) {
				t.Errorf("error %v, expected %v", err, c.why)
			}
		})
	}
}

func rewrite(t *testing.T, name string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, f(b), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func flip(b []byte) []byte { b[len(b)/2] ^= 1; return b }

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, name string) {
	t.Helper()
	if err := os.Mkdir(name, 0o755); err != nil {
		t.Fatal(err)
	}
}

func relink(t *testing.T, name string) {
	t.Helper()
	if err := os.Rename(name, name+"x"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Base(name)+"x", name); err != nil {
		t.Skip("SKIP: no symbolic links here:", err)
	}
}

func TestOpenArguments(t *testing.T) {
	dir, digest := written(t, good(t))
	lim := oci.DefaultLimits()
	if _, err := oci.Open(dir, oci.Digest{}, "linux", amd64, lim); !errors.Is(err, oci.ErrMalformed) {
		t.Errorf("no digest: %v", err)
	}
	if _, err := oci.Open(filepath.Join(dir, "none"), digest, "linux", amd64, lim); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no layout: %v", err)
	}
	if runtime.GOOS == "linux" {
		if _, err := oci.Open("/dev/null", digest, "linux", amd64, lim); !errors.Is(err, oci.ErrNotAFile) {
			t.Errorf("a device: %v", err)
		}
	}
	for _, l := range []oci.Limits{{}, {Layers: 1, Layer: 1, Entries: 1}, {Manifest: 1, Layer: 1, Entries: 1}, {Manifest: 1, Layers: 1, Entries: 1}, {Manifest: 1, Layers: 1, Layer: 1}} {
		_, a := oci.Open(dir, digest, "linux", amd64, l)
		_, b := oci.Find(dir, "linux", amd64, l)
		_, c := oci.Choose([]byte("{}"), "linux", amd64, l)
		_, d := oci.ParseManifest([]byte("{}"), l)
		_, e := oci.ParseConfig([]byte("{}"), l)
		for _, err := range []error{a, b, c, d, e} {
			if err == nil || !strings.Contains(err.Error(), "limits") {
				t.Errorf("limits %+v: %v", l, err)
			}
		}
	}
}

func TestArchiveRefused(t *testing.T) {
	dir, digest := written(t, good(t))
	whole, err := os.ReadFile(archive(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	twice, err := ociforge.Tar(ociforge.File("a", "1"), ociforge.File("./a", "2"))
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		bytes []byte
		most  int
		why   error
	}{
		"noise":        {bytes.Repeat([]byte("noise"), 1000), 100, oci.ErrMalformed},
		"cut off":      {whole[:len(whole)/2], 100, oci.ErrMalformed},
		"a name twice": {twice, 100, oci.ErrMalformed},
		"many entries": {whole, 3, oci.ErrTooLarge},
		"empty":        {nil, 100, oci.ErrMissing},
		"compressed":   {ociforge.Gzip(whole), 100, oci.ErrMalformed},
	} {
		name := filepath.Join(t.TempDir(), "image.tar")
		if err := os.WriteFile(name, c.bytes, 0o644); err != nil {
			t.Fatal(err)
		}
		lim := oci.DefaultLimits()
		lim.Entries = c.most
		if _, err := oci.Open(name, digest, "linux", amd64, lim); !errors.Is(err, c.why) {
			t.Errorf("%s: error %v, expected %v", what, err, c.why)
		}
	}
}

func TestParseDigest(t *testing.T) {
	good := "sha256:" + strings.Repeat("0a", 32)
	d, err := oci.ParseDigest(good)
	if err != nil || d.String() != good {
		t.Errorf("%s, %v", d, err)
	}
	for _, s := range []string{"", "sha256:", strings.ToUpper(good), "sha256:" + strings.Repeat("0A", 32), good + "00", good[:70], "sha512:" + strings.Repeat("0a", 64), strings.Repeat("0a", 32), "sha256:" + strings.Repeat("zz", 32)} {
		if _, err := oci.ParseDigest(s); err == nil {
			t.Errorf("%q is read", s)
		}
	}
}

// TestStrict: JSON that two readers could understand differently.
func TestStrict(t *testing.T) {
	doc, conf, err := good(t).Documents()
	if err != nil {
		t.Fatal(err)
	}
	twice := strings.Replace(string(doc), `"layers":`, `"layers":[],"layers":`, 1)
	if _, err := oci.ParseManifest([]byte(twice), oci.DefaultLimits()); !errors.Is(err, oci.ErrMalformed) {
		t.Errorf("layers twice: %v", err)
	}
	if _, err := oci.ParseConfig(append(conf, conf...), oci.DefaultLimits()); !errors.Is(err, oci.ErrMalformed) {
		t.Errorf("two configurations: %v", err)
	}
	if c, err := oci.ParseConfig([]byte(`{"os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":null}`), oci.DefaultLimits()); err != nil || c.User != "" {
		t.Errorf("no configuration to run: %v", err)
	}
}

func index(t *testing.T, entries ...map[string]any) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": entries})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func entry(mediaType, os, arch string) map[string]any {
	e := map[string]any{"mediaType": mediaType, "digest": ociforge.Digest([]byte(arch)), "size": 1}
	if os != "" {
		e["platform"] = map[string]any{"os": os, "architecture": arch, "variant": "v8"}
	}
	return e
}

func TestChoose(t *testing.T) {
	m, other := oci.MediaManifest, "application/vnd.in-toto+json"
	for what, c := range map[string]struct {
		index []byte
		ok    bool
	}{
		"the one that fits":     {index(t, entry(m, "linux", "arm64"), entry(m, "linux", amd64), entry(m, "windows", amd64)), true},
		"the only one, unsaid":  {index(t, entry(m, "", amd64)), true},
		"beside another thing":  {index(t, entry(m, "linux", amd64), entry(other, "linux", amd64)), true},
		"two that fit":          {index(t, entry(m, "linux", amd64), entry(m, "linux", amd64)), false},
		"none that fits":        {index(t, entry(m, "linux", "arm64")), false},
		"one of two, unsaid":    {index(t, entry(m, "", amd64), entry(m, "linux", "arm64")), false},
		"nothing":               {index(t), false},
		"another schema":        {[]byte(`{"schemaVersion":1,"manifests":[]}`), false},
		"no list":               {[]byte(`{"schemaVersion":2}`), false},
		"another document":      {[]byte(`{"schemaVersion":2,"mediaType":"x","manifests":[]}`), false},
		"no JSON":               {[]byte(`[`), false},
		"an entry of no digest": {index(t, map[string]any{"mediaType": m, "digest": "x", "size": 1}), false},
		"a manifest, no index":  {[]byte(`{"schemaVersion":2,"mediaType":"` + m + `","manifests":[]}`), false},
	} {
		d, err := oci.Choose(c.index, "linux", amd64, oci.DefaultLimits())
		if (err == nil) != c.ok || c.ok && d.Digest.String() != ociforge.Digest([]byte(amd64)) {
			t.Errorf("%s: %v, %v", what, d, err)
		}
	}
}

// TestFind: an index in an index.
func TestFind(t *testing.T) {
	dir, digest := written(t, good(t))
	if d, err := oci.Find(dir, "linux", amd64, oci.DefaultLimits()); err != nil || d != digest {
		t.Errorf("%s, %v", d, err)
	}
	if d, err := oci.Find(archive(t, dir), "linux", amd64, oci.DefaultLimits()); err != nil || d != digest {
		t.Errorf("in an archive %s, %v", d, err)
	}
	doc, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	for depth := range 6 {
		d, err := oci.Find(dir, "linux", amd64, oci.DefaultLimits())
		if want := depth < 4; (err == nil) != want || want && d != digest {
			t.Errorf("%d indexes: %s, %v", depth, d, err)
		}
		blob := filepath.Join(dir, ociforge.Blob(ociforge.Digest(doc)))
		if err := os.WriteFile(blob, doc, 0o644); err != nil {
			t.Fatal(err)
		}
		e := entry(oci.MediaIndex, "linux", amd64)
		e["digest"], e["size"] = ociforge.Digest(doc), len(doc)
		doc = index(t, e)
		if err := os.WriteFile(filepath.Join(dir, "index.json"), doc, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	lim := oci.DefaultLimits()
	lim.Manifest = 10
	if _, err := oci.Find(dir, "linux", amd64, lim); !errors.Is(err, oci.ErrTooLarge) {
		t.Errorf("an index too large: %v", err)
	}
}

func FuzzManifest(f *testing.F) {
	doc, conf, err := good(f).Documents()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(doc)
	f.Add(conf)
	f.Add([]byte(`{"schemaVersion":2,"manifests":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		lim := oci.DefaultLimits()
		if m, err := oci.ParseManifest(b, lim); err == nil && (len(m.Layers) == 0 || len(m.Layers) > lim.Layers) {
			t.Errorf("%d layers", len(m.Layers))
		}
		if c, err := oci.ParseConfig(b, lim); (c == nil) == (err == nil) {
			t.Errorf("configuration %v and error %v", c, err)
		}
		oci.Choose(b, "linux", amd64, lim)
	})
}
