// Runs Lua scripts as Argo CD does: its interpreter, the libraries that it loads (base, package, table and nothing else), and one second.
// Source: https://argo-cd.readthedocs.io/en/latest/operator-manual/lua/, read 2026-11-25.
//
// Standard input is a JSON list of runs; standard output is the list of what came of each.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	lua "github.com/yuin/gopher-lua"
)

const timeout = time.Second

type run struct {
	Script     string            `json:"script"`
	Object     any               `json:"object"`
	Parameters map[string]string `json:"parameters"`
}

type result struct {
	Value any    `json:"value,omitempty"`
	Error string `json:"error,omitempty"`
}

func main() {
	var runs []run
	if err := json.NewDecoder(os.Stdin).Decode(&runs); err != nil {
		fmt.Fprintln(os.Stderr, "reading the runs:", err)
		os.Exit(1)
	}
	results := make([]result, len(runs))
	for i, each := range runs {
		value, err := each.do()
		if err != nil {
			results[i].Error = err.Error()
		} else {
			results[i].Value = value
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		fmt.Fprintln(os.Stderr, "writing the results:", err)
		os.Exit(1)
	}
}

func (r run) do() (any, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		call := lua.P{Fn: state.NewFunction(open), NRet: 0, Protect: true}
		if err := state.CallByParam(call, lua.LString(name)); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	state.SetContext(ctx)
	parameters := state.NewTable()
	for name, value := range r.Parameters {
		parameters.RawSetString(name, lua.LString(value))
	}
	state.SetGlobal("obj", toLua(state, r.Object))
	state.SetGlobal("actionParams", parameters)
	if err := state.DoString(r.Script); err != nil {
		return nil, err
	}
	return fromLua(state.Get(-1)), nil
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case float64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		table := state.NewTable()
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for name, item := range value {
			table.RawSetString(name, toLua(state, item))
		}
		return table
	default:
		return lua.LNil
	}
}

func fromLua(value lua.LValue) any {
	switch value := value.(type) {
	case lua.LBool:
		return bool(value)
	case lua.LNumber:
		return float64(value)
	case lua.LString:
		return string(value)
	case *lua.LTable:
		if length := value.Len(); length > 0 {
			items := make([]any, 0, length)
			for i := 1; i <= length; i++ {
				items = append(items, fromLua(value.RawGetInt(i)))
			}
			return items
		}
		items := map[string]any{}
		value.ForEach(func(key, item lua.LValue) { items[key.String()] = fromLua(item) })
		return items
	default:
		return nil
	}
}
