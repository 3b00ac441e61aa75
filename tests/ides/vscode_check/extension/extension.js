'use strict';
// See ../README.md. Orders come as POST /ORDER with JSON, on 127.0.0.1:$CHECK_PORT.
const http = require('http');
const vscode = require('vscode');

const { CHECK_PORT, CHECK_KEY, CHECK_PYTHON } = process.env;

// --- The stand-in for the Python Debugger extension

function resolveConfiguration(folder, configuration) {
  const resolved = { justMyCode: true, ...configuration, clientOS: 'unix' };
  resolved.workspaceFolder = folder && folder.uri.fsPath; // a child process has none
  if (resolved.request === 'launch') {
    resolved.python = resolved.python || CHECK_PYTHON;
    resolved.debugLauncherPython = CHECK_PYTHON;
    resolved.console = resolved.console || 'integratedTerminal';
    resolved.internalConsoleOptions = 'neverOpen';
  }
  // A child's configuration comes with the options of its parent.
  const options = new Set(resolved.debugOptions);
  options.add('ShowReturnValue');
  if (resolved.request === 'attach') options.add('RedirectOutput');
  if (resolved.jinja) options.add('Jinja');
  resolved.debugOptions = [...options];
  return resolved;
}

function createAdapter({ configuration: { connect } }) {
  if (connect) return new vscode.DebugAdapterServer(Number(connect.port), connect.host);
  return new vscode.DebugAdapterExecutable(CHECK_PYTHON, ['-m', 'debugpy.adapter']);
}

// --- What the debugger does

const changed = new vscode.EventEmitter();
const log = []; // for the report of a failure
const stops = [];
let armed = 0; // sessions that know the breakpoints and run
let live = 0;

function createTracker(session) {
  return {
    onDidSendMessage({ type, event, command, success, body }) {
      log.push(`${session.name}: ${type} ${event || command} ${JSON.stringify(body)}`.slice(0, 300));
      if (type === 'event' && event === 'stopped') stops.push({ session, ...body });
      else if (type === 'response' && command === 'configurationDone' && success) armed += 1;
      changed.fire();
    },
  };
}

/** The value of check() as soon as it has one; asked again after each change. */
function until(check) {
  return new Promise((resolve, reject) => {
    const end = (settle, value) => {
      clearTimeout(deadline);
      listening.dispose();
      settle(value);
    };
    const look = () => {
      const value = check();
      if (value) end(resolve, value);
    };
    const tooLate = () => end(reject, new Error([`not met: ${check}`, ...log.slice(-60)].join('\n')));
    const deadline = setTimeout(tooLate, 60000);
    const listening = changed.event(look);
    look();
  });
}

// --- Orders

const diagnostics = document => vscode.languages.getDiagnostics(document.uri);
const problems = document =>
  diagnostics(document).map(({ message, range }) => `${range.start.line + 1}: ${message}`);

async function show(file) {
  const document = await vscode.workspace.openTextDocument(vscode.Uri.file(file));
  await vscode.window.showTextDocument(document);
  return document;
}

async function replace(document, find, text) {
  const start = document.getText().indexOf(find);
  if (start < 0) throw new Error(`${find} is not in ${document.fileName}`);
  const range = new vscode.Range(
    document.positionAt(start), document.positionAt(start + find.length));
  const edit = new vscode.WorkspaceEdit();
  edit.replace(document.uri, range, text);
  await vscode.workspace.applyEdit(edit);
}

const orders = {
  /** What VS Code marks in a file, once it has marked a mistake that is put in after `find`. */
  async problems({ file, find }) {
    const document = await show(file);
    await replace(document, find, `${find}"mistake": 1,`);
    const withMistake = await until(
      () => problems(document).some(text => text.includes('mistake')) && problems(document));
    await replace(document, `${find}"mistake": 1,`, find);
    await until(() => !problems(document).some(text => text.includes('mistake')));
    return { withMistake, without: problems(document) };
  },

  async breakpoint({ file, line }) {
    await show(file);
    const place = new vscode.Location(vscode.Uri.file(file), new vscode.Position(line - 1, 0));
    vscode.debug.addBreakpoints([new vscode.SourceBreakpoint(place, true)]);
  },

  async start({ name }) {
    armed = 0;
    stops.length = 0;
    const [folder] = vscode.workspace.workspaceFolders;
    if (!await vscode.debug.startDebugging(folder, name)) {
      const tasks = (await vscode.tasks.fetchTasks()).map(task => task.name);
      throw new Error([`not started: ${name}`, ...tasks, ...log.slice(-60)].join('\n'));
    }
    return true;
  },

  /** Waits until so many sessions have been armed since the start. */
  armed: ({ count }) => until(() => armed >= count),

  /** Waits for the next stop, until the window shows it. */
  async stopped() {
    const { session, threadId, reason } = await until(() => stops.shift());
    const shown = () => vscode.debug.activeStackItem;
    await until(() => shown() && shown().frameId !== undefined && shown().threadId === threadId);
    const { stackFrames } = await session.customRequest('stackTrace', { threadId, levels: 1 });
    const [{ id: frameId, line, source }] = stackFrames;
    const { scopes } = await session.customRequest('scopes', { frameId });
    const { variablesReference } = scopes[0];
    const { variables } = await session.customRequest('variables', { variablesReference });
    const values = Object.fromEntries(variables.map(({ name, value }) => [name, value]));
    // In a window whose files are on a server, paths are URIs.
    const file = source.path.includes('://') ? vscode.Uri.parse(source.path).path : source.path;
    return { reason, line, file, variables: values };
  },

  /** Presses the button. */
  continue: () => vscode.commands.executeCommand('workbench.action.debug.continue'),

  async edit({ file, find, text }) {
    const document = await show(file);
    await replace(document, find, text);
    await document.save();
  },

  async stop() {
    await vscode.debug.stopDebugging();
    await until(() => live === 0);
  },

  /** Presses a button of the debugger's toolbar (stop, disconnect, pause), once. */
  press: ({ button }) => vscode.commands.executeCommand(`workbench.action.debug.${button}`),

  /** Waits until no session is left. */
  ended: async () => {
    await until(() => live === 0);
  },

  /** The name of the session that the toolbar and the Debug Console act on. */
  selected: () => vscode.debug.activeDebugSession.name,

  /** What the Debug Console answers. */
  async console({ expression }) {
    const evaluation = { expression, context: 'repl' };
    return (await vscode.debug.activeDebugSession.customRequest('evaluate', evaluation)).result;
  },
};

async function answer({ url, headers }, body) {
  if (headers['x-check-key'] !== CHECK_KEY) return [403, 'wrong key'];
  try {
    return [200, (await orders[url.slice(1)](JSON.parse(body))) ?? null];
  } catch (error) {
    return [500, String(error.stack || error)];
  }
}

function onRequest(request, response) {
  let body = '';
  request.on('data', chunk => (body += chunk));
  request.on('end', async () => {
    const [status, value] = await answer(request, body);
    response.writeHead(status).end(JSON.stringify(value));
  });
}

exports.activate = ({ subscriptions }) => {
  const count = by => () => {
    live += by;
    changed.fire();
  };
  subscriptions.push(
    vscode.debug.registerDebugConfigurationProvider('debugpy', {
      resolveDebugConfigurationWithSubstitutedVariables: resolveConfiguration,
    }),
    vscode.debug.registerDebugAdapterDescriptorFactory('debugpy', {
      createDebugAdapterDescriptor: createAdapter,
    }),
    vscode.debug.registerDebugAdapterTrackerFactory('*', { createDebugAdapterTracker: createTracker }),
    vscode.debug.onDidStartDebugSession(count(1)),
    vscode.debug.onDidTerminateDebugSession(count(-1)),
    vscode.debug.onDidChangeActiveStackItem(() => changed.fire()),
    vscode.languages.onDidChangeDiagnostics(() => changed.fire()),
    vscode.tasks.onDidEndTaskProcess(({ execution, exitCode }) =>
      log.push(`task ${execution.task.name} ended with ${exitCode}`)),
  );
  http.createServer(onRequest).listen(Number(CHECK_PORT), '127.0.0.1');
};
