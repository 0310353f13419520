package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/box/sandbox"
	"github.com/blindbox/blindbox/box/sandbox/ociforge"
)

func TestMain(m *testing.M) {
	sandbox.Keep(os.Args)
	os.Exit(m.Run())
}

// TestServesImage: the program runs an app from an image beside its policy, or
// says what keeps it from that.
func TestServesImage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIP: containers need root")
	}
	if _, err := exec.LookPath("runc"); err != nil {
		t.Skip("SKIP: no runc (Debian package runc)")
	}
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "app"), "../../box/testdata/app")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program, err := os.ReadFile(filepath.Join(dir, "app"))
	if err != nil {
		t.Fatal(err)
	}
	layer, err := ociforge.Tar(ociforge.File("app", string(program)))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := ociforge.Image{Layers: []ociforge.Layer{ociforge.Packed(layer)}, Entrypoint: []string{"/app"}}.Write(filepath.Join(dir, "app.oci"))
	if err != nil {
		t.Fatal(err)
	}
	memory, err := os.MkdirTemp("/dev/shm", "blindbox-test-")
	if err != nil {
		t.Skip("SKIP: no /dev/shm:", err)
	}
	defer os.RemoveAll(memory)
	if err := os.Chmod(memory, 0o711); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, policy, path string
		args               []string
		exit               int
		want               []string
	}{
		{"serves and ends", "", os.Getenv("PATH"), nil, 0, []string{"boxd: app note: the image names no user: the app runs as nobody (65534)\nboxd: app started\nboxd: serving: ", "boxd: stopped\n"}},
		{"no such image", "", os.Getenv("PATH"), []string{"--images", memory}, 1, []string{"BBX-108", memory + "/app.oci: no such file", "no box was started."}},
		{"no runc", "", memory, nil, 1, []string{"BBX-108", "no runc on this machine"}},
		{"another platform", "platforms: [tdx]\n", os.Getenv("PATH"), nil, 1, []string{"BBX-108", "this is sev-snp, and the policy has platforms tdx (line 4)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("PATH", c.path)
			file := filepath.Join(dir, "box.yaml")
			doc := fmt.Sprintf("name: app\napp: {image: \"oci:app.oci\", digest: %q, listen: 8000}\ncallers: [{anyone: true, may: [query]}]\n", digest)
			if err := os.WriteFile(file, []byte(doc+c.policy), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
			defer stop()
			out := &console{word: "serving", seen: stop}
			m := machine{open: func(platform) (attest.Attester, error) { return signer{policy: file}, nil }, reserve: func() error { return nil }, root: true}
			exit := run(ctx, append([]string{"--policy", file, "--listen", "127.0.0.1:0", "--run", filepath.Join(memory, "box")}, c.args...), out, m)
			if exit != c.exit {
				t.Errorf("exit code %d, expected %d", exit, c.exit)
			}
			for _, want := range c.want {
				if !strings.Contains(out.text.String(), want) {
					t.Errorf("no %q in\n%s", want, out.text.String())
				}
			}
		})
	}
}
