package egress

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// underGVisor is the command that runs the hostile app under gVisor, in the app's
// network.
func (w *world) underGVisor(t testing.TB) *exec.Cmd {
	t.Helper()
	runsc := os.Getenv("BLINDBOX_RUNSC")
	if runsc == "" {
		t.Skip("SKIP: no runsc in BLINDBOX_RUNSC (`make test` builds it)")
	}
	dir := t.TempDir()
	doc, err := json.Marshal(specs.Spec{
		Version: "1.0.2", Root: &specs.Root{Path: "/", Readonly: true}, Hostname: "guest",
		Process: &specs.Process{
			Args: []string{program(t)}, Cwd: "/", User: specs.User{UID: 65534, GID: 65534}, NoNewPrivileges: true,
			Env: []string{actVariable + "=1", "EGRESS_TEST_CA=" + w.ca.pem()},
		},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace, Path: w.ns.Path()},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), doc, 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.Command(runsc, "--root", filepath.Join(dir, "state"), "--network=sandbox", "--directfs=false", "--overlay2=none", "--ignore-cgroups", "--gofer-network-namespace=new",
		"run", "--bundle", dir, fmt.Sprintf("egress-test-%d", os.Getpid()))
}
