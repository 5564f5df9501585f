// Node-RED as it comes, but on loopback only, and with everything off that asks the outside world.
module.exports = {
    flowFile: "flows.json",
    uiHost: "127.0.0.1",
    httpAdminRoot: false,
    disableEditor: true,
    telemetry: { enabled: false, updateNotification: false },
    diagnostics: { enabled: false, ui: false },
    externalModules: {
        autoInstall: false,
        palette: { allowInstall: false, allowUpdate: false, allowUpload: false, catalogues: [] },
        modules: { allowInstall: false },
    },
    editorTheme: { tours: false, palette: { catalogues: [] } },
    logging: { console: { level: "warn", metrics: false, audit: false } },
};
