package launchcheck;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.eclipse.core.resources.IFile;
import org.eclipse.core.resources.IProject;
import org.eclipse.core.resources.IProjectDescription;
import org.eclipse.core.resources.IResource;
import org.eclipse.core.resources.IWorkspace;
import org.eclipse.core.resources.ResourcesPlugin;
import org.eclipse.core.runtime.CoreException;
import org.eclipse.core.variables.VariablesPlugin;
import org.eclipse.debug.core.DebugPlugin;
import org.eclipse.debug.core.ILaunchConfiguration;
import org.eclipse.debug.core.ILaunchConfigurationWorkingCopy;
import org.eclipse.equinox.app.IApplication;
import org.eclipse.equinox.app.IApplicationContext;

/**
 * Opens a folder as an Eclipse project, has the launch manager load its launch files, and saves
 * them. Arguments: the folder, then the names of the files. Prints a line of JSON for each.
 */
public final class LaunchCheck implements IApplication {
    private static final String TOOLS = "org.eclipse.ui.externaltools.ATTR_";

    @Override
    public Object start(IApplicationContext context) throws Exception {
        var arguments = (String[]) context.getArguments().get(IApplicationContext.APPLICATION_ARGS);
        IProject project = open(arguments[0]);
        for (String name : Arrays.asList(arguments).subList(1, arguments.length)) {
            System.out.println(Json.write(report(project.getFile(name))));
        }
        return EXIT_OK;
    }

    @Override
    public void stop() {}

    private static IProject open(String folder) throws CoreException {
        IWorkspace workspace = ResourcesPlugin.getWorkspace();
        var location = new org.eclipse.core.runtime.Path(folder);
        IProjectDescription description =
                workspace.loadProjectDescription(location.append(".project"));
        description.setLocation(location);
        IProject project = workspace.getRoot().getProject(description.getName());
        project.create(description, null);
        project.open(null);
        project.refreshLocal(IResource.DEPTH_INFINITE, null);
        return project;
    }

    private static Map<String, Object> report(IFile file) throws Exception {
        var manager = DebugPlugin.getDefault().getLaunchManager();
        ILaunchConfiguration configuration = manager.getLaunchConfiguration(file);
        Map<String, Object> report = new LinkedHashMap<>();
        report.put("type", configuration.getType().getIdentifier());
        report.put("attributes", attributes(configuration));
        report.put("mapped", mapped(configuration));
        report.put("location", expanded(configuration, "LOCATION"));
        report.put("working_directory", expanded(configuration, "WORKING_DIRECTORY"));
        String line = expanded(configuration, "TOOL_ARGUMENTS");
        report.put("arguments", Arrays.asList(DebugPlugin.parseArguments(line)));
        Path path = file.getLocation().toFile().toPath();
        byte[] before = Files.readAllBytes(path);
        save(configuration);
        report.put("same_bytes", Arrays.equals(before, Files.readAllBytes(path)));
        return report;
    }

    /** Each with the Java type that Eclipse gives it. */
    private static Map<String, Object> attributes(ILaunchConfiguration configuration)
            throws CoreException {
        Map<String, Object> attributes = new TreeMap<>();
        configuration.getAttributes().forEach((key, value) ->
                attributes.put(key, List.of(kind(value), value)));
        return attributes;
    }

    private static String kind(Object value) {
        for (Class<?> type : List.of(List.class, Map.class, Set.class)) {
            if (type.isInstance(value)) {
                return type.getSimpleName();
            }
        }
        return value.getClass().getSimpleName();
    }

    private static Map<String, Object> mapped(ILaunchConfiguration configuration)
            throws CoreException {
        Map<String, Object> mapped = new TreeMap<>();
        for (IResource resource : configuration.getMappedResources()) {
            mapped.put(resource.getFullPath().toString(), resource.exists());
        }
        return mapped;
    }

    private static String expanded(ILaunchConfiguration configuration, String name)
            throws CoreException {
        String value = configuration.getAttribute(TOOLS + name, "");
        return VariablesPlugin.getDefault()
                .getStringVariableManager()
                .performStringSubstitution(value);
    }

    /** As Eclipse's own dialog does; a copy without a change would not be written. */
    private static void save(ILaunchConfiguration configuration) throws CoreException {
        ILaunchConfigurationWorkingCopy copy = configuration.getWorkingCopy();
        copy.setAttribute("touched", true);
        copy.removeAttribute("touched");
        copy.doSave();
    }
}
